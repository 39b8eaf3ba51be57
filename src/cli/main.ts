import { Command } from 'commander';
import { packageVersion } from '../models/packageVersion.js';
import { reportError } from './reportError.js';

/**
 * Commands by name, in the order in which --help has them. Each brings what it runs on (sessions, gRPC, drawing), which takes
 * most of a short command's time to load: only the one that is called is loaded.
 */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  train: async () => (await import('./train.js')).registerTrain,
  recipes: async () => (await import('./recipes.js')).registerRecipes,
  runs: async () => (await import('./runs.js')).registerRuns,
  export: async () => (await import('./export.js')).registerExport,
  import: async () => (await import('./import.js')).registerImport,
  evaluate: async () => (await import('./evaluate.js')).registerEvaluate,
  serve: async () => (await import('./serve.js')).registerServe,
  token: async () => (await import('./token.js')).registerToken,
  health: async () => (await import('./health.js')).registerHealth,
  embed: async () => (await import('./embed.js')).registerEmbed,
  features: async () => (await import('./features.js')).registerFeatures,
  match: async () => (await import('./match.js')).registerMatch,
  model: async () => (await import('./model.js')).registerModel,
  models: async () => (await import('./models.js')).registerModels,
  cuda: async () => (await import('./cuda.js')).registerCuda,
  bench: async () => (await import('./bench.js')).registerBench,
};

const program = new Command('vicregl')
  .description('VICRegL: self-supervised learning of local visual features, and a gRPC service for them.')
  .version(packageVersion())
  .showHelpAfterError('(add --help for the options)');

// Help, a misspelt name and flags in front of the name need all of them.
const name = process.argv[2] ?? '';
const called = Object.hasOwn(commands, name) ? [commands[name]!] : Object.values(commands);
for (const load of called) (await load())(program);

await program.parseAsync().catch(reportError);
