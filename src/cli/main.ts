import { Command } from 'commander';
import { packageVersion } from '../models/packageVersion.js';
import { registerBench } from './bench.js';
import { registerEmbed } from './embed.js';
import { registerEvaluate } from './evaluate.js';
import { registerExport } from './export.js';
import { registerFeatures } from './features.js';
import { registerHealth } from './health.js';
import { registerImport } from './import.js';
import { registerMatch } from './match.js';
import { registerModel } from './model.js';
import { registerModels } from './models.js';
import { registerRecipes } from './recipes.js';
import { reportError } from './reportError.js';
import { registerRuns } from './runs.js';
import { registerServe } from './serve.js';
import { registerToken } from './token.js';
import { registerTrain } from './train.js';

const program = new Command('vicregl')
  .description('VICRegL: self-supervised learning of local visual features, and a gRPC service for them.')
  .version(packageVersion())
  .showHelpAfterError('(add --help for the options)');

registerTrain(program);
registerRecipes(program);
registerRuns(program);
registerExport(program);
registerImport(program);
registerEvaluate(program);
registerServe(program);
registerToken(program);
registerHealth(program);
registerEmbed(program);
registerFeatures(program);
registerMatch(program);
registerModel(program);
registerModels(program);
registerBench(program);

await program.parseAsync().catch(reportError);
