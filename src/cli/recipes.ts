import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { ConfigError } from '../train/config.js';
import { loadTrainConfig } from '../train/configFile.js';

/** The bundled recipes, three levels above this file in dist/src/cli. */
const folder = fileURLToPath(new URL('../../../recipes', import.meta.url));

async function recipeNames(): Promise<string[]> {
  const files = await readdir(folder);
  return files.flatMap((file) => (file.endsWith('.yaml') ? [file.slice(0, -'.yaml'.length)] : [])).sort();
}

/** The file of a bundled recipe. @throws ConfigError listing the existing ones. */
export async function recipePath(name: string): Promise<string> {
  const names = await recipeNames();
  if (!names.includes(name)) {
    throw new ConfigError(`there is no recipe "${name}"; use one of ${names.join(', ')}, or --config FILE`);
  }
  return join(folder, `${name}.yaml`);
}

/** `vicregl recipes list` and `vicregl recipes show NAME`. */
export function registerRecipes(program: Command): void {
  const recipes = program.command('recipes').description('Show the bundled training configurations.');
  recipes
    .command('list')
    .description('List the recipes with backbone, batch size and epochs.')
    .action(async () => {
      for (const name of await recipeNames()) {
        const { model, batchSize, epochs, crops } = await loadTrainConfig(await recipePath(name));
        const small = crops.small ? ` + ${crops.small.count} x ${crops.small.size}` : '';
        console.log(
          `${name.padEnd(28)} ${model.architecture}, 2 x ${crops.size}${small} px, batch ${batchSize}, ${epochs} epochs`,
        );
      }
    });
  recipes
    .command('show')
    .description('Print a recipe with everything that it extends and all defaults.')
    .argument('<name>', 'name of the recipe, as in recipes list')
    .action(async (name: string) => console.log(stringify(await loadTrainConfig(await recipePath(name))).trimEnd()));
}
