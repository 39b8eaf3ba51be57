import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { checkOutputFolder } from '../files/output.js';
import type { CheckpointChoice } from '../train/checkpoint.js';
import { ConfigError } from '../train/config.js';
import { loadTrainConfig, type Setting } from '../train/configFile.js';
import { dryRun } from '../train/dryRun/dryRun.js';
import type { InitialWeightsOptions } from '../train/initialWeights.js';
import { createProgress } from '../train/progress.js';
import { readRunConfig } from '../train/runFolder.js';
import { train } from '../train/trainer.js';
import { checkpointOption } from './checkpointFlag.js';
import { findModel } from './modelFolders.js';
import { ofInput } from './ofInput.js';
import { printDryRun } from './printDryRun.js';
import { recipePath } from './recipes.js';
import { wholeNumber } from './wholeNumber.js';

interface TrainFlags {
  readonly config?: string;
  readonly recipe?: string;
  readonly set: readonly Setting[];
  readonly microBatch?: number;
  readonly out?: string;
  readonly init?: string;
  readonly initPrefix?: string;
  readonly dryRun: boolean;
  readonly device: 'cpu' | 'cuda';
  readonly resume: boolean;
  readonly checkpoint?: CheckpointChoice;
}

/** `vicregl train`: pretraining on a folder or archive of photographs. */
export function registerTrain(program: Command): void {
  program
    .command('train')
    .description('Pretrain a model on photographs.')
    .option('--config <file>', 'YAML configuration (see recipes/); a resumed run has its own')
    .option('--recipe <name>', 'a shipped configuration, in place of --config (vicregl recipes list)')
    .option(
      '--set <key=value>',
      'change one key of the configuration, such as optimizer.baseLr=0.001; repeatable; with --resume some keys only',
      (value: string, all: readonly string[]) => [...all, value],
      [],
    )
    .option('--out <dir>', 'run folder: configuration, log and checkpoints')
    .addOption(new Option('--device <device>', 'where the step runs').choices(['cpu', 'cuda']).default('cpu'))
    .option(
      '--micro-batch <count>',
      'photographs of one forward pass, for batches larger than memory: as --set microBatch=COUNT',
      wholeNumber(1),
    )
    .option('--resume', 'continue the run in --out', false)
    .option(
      '--init <path>',
      'start from the weights of a model (folder or name), a run folder, or a checkpoint file (ours, PyTorch, safetensors), as far as they fit',
    )
    .option(
      '--init-prefix <text>',
      'which of several encoders of the checkpoint: what stands before the names of its weights, such as teacher/backbone.',
    )
    .addOption(
      checkpointOption(
        'with --resume, where it goes on, and with --init RUN, what it starts from: latest (the default), best, or the number of a step',
      ),
    )
    .option(
      '--dry-run',
      'train nothing: print parameters, FLOPs, memory, steps and learning rates, and draw crops into OUT/dry-run',
      false,
    )
    .action(async ({ microBatch, ...given }: TrainFlags) => {
      const micro = { text: `microBatch=${microBatch}`, flag: `--micro-batch ${microBatch}` };
      const flags = microBatch === undefined ? given : { ...given, set: [...given.set, micro] };
      const { out, device, resume, checkpoint } = flags;
      checkInitFlags(flags);
      if (flags.dryRun) return runDry(flags);
      if (out === undefined) throw new ConfigError('give --out DIR, the run folder');
      // What is no run folder is that, before it is a place that cannot be written.
      const config = resume ? await resumedConfig(flags, out) : await startedConfig(flags);
      await checkOutputFolder('--out', out);
      const init = await initOf(flags);
      const stop = new AbortController();
      const onSignal = () => stop.abort();
      process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
      // A file over the limit (ulimit -f) shall be an error of its write, as a full disk is. Node ignores the signal from
      // the start, but write-file-atomic's signal-exit takes it up and then leaves it at its default, which kills.
      process.on('SIGXFSZ', ignore);
      try {
        const result = await train(config, {
          run: out,
          device,
          resume,
          ...(resume && checkpoint !== undefined && { checkpoint }),
          ...(init && { init }),
          signal: stop.signal,
          createProgress: (start, total) => createProgress(start, total, process.stderr),
        });
        console.log(`step ${result.steps} of ${result.totalSteps}: ${result.checkpoint}`);
        console.log(
          result.steps < result.totalSteps
            ? `stopped early; continue with: npx vicregl train --out ${out} --resume${device === 'cuda' ? ' --device cuda' : ''}`
            : `done; export with: npx vicregl export ${out} --out models/${config.name}`,
        );
      } finally {
        process.off('SIGINT', onSignal).off('SIGTERM', onSignal).off('SIGXFSZ', ignore);
      }
    });
}

const ignore = () => undefined;

/** @throws ConfigError for flags that do not go together. */
function checkInitFlags({ init, initPrefix, resume, checkpoint }: TrainFlags): void {
  if (init !== undefined && resume) {
    throw new ConfigError(
      '--init is for a run that starts; a resumed run goes on from its own checkpoint: leave it out',
    );
  }
  if (initPrefix !== undefined && init === undefined) throw new ConfigError('--init-prefix goes with --init');
  if (checkpoint !== undefined && init === undefined && !resume) {
    throw new ConfigError('--checkpoint is for --resume and --init; leave it out');
  }
}

/** The weights that were asked for; a path that is not there may be the name of a model. */
async function initOf({ init, initPrefix, checkpoint }: TrainFlags): Promise<InitialWeightsOptions | undefined> {
  if (init === undefined) return undefined;
  const isThere = await stat(init).catch(() => undefined);
  const path = isThere || /[/\\]/.test(init) ? init : await findModel(init).catch(() => init);
  return {
    path,
    ...(initPrefix !== undefined && { prefix: initPrefix }),
    ...(checkpoint !== undefined && { checkpoint }),
  };
}

/** Beside a run's files, or here: nothing else of the folder is touched. */
async function runDry(flags: TrainFlags): Promise<void> {
  if (flags.resume) throw new ConfigError('--dry-run is for a run that starts; leave out --resume');
  const folder = join(flags.out ?? '.', 'dry-run');
  await checkOutputFolder('--out', folder);
  const config = await startedConfig(flags);
  const init = await initOf(flags);
  printDryRun(config, await dryRun(config, folder, { device: flags.device, ...(init && { init }) }), folder);
}

async function startedConfig({ config, recipe, set }: TrainFlags) {
  if (config !== undefined && recipe !== undefined) throw new ConfigError('give --config or --recipe, not both');
  if (recipe !== undefined) return loadTrainConfig(await recipePath(recipe), set);
  if (config === undefined) {
    throw new ConfigError('give --config FILE or --recipe NAME (see recipes/), or --resume to continue a run');
  }
  return ofInput('--config', config, () => loadTrainConfig(config, set));
}

function resumedConfig({ config, recipe, set }: TrainFlags, out: string) {
  if (config !== undefined || recipe !== undefined) {
    throw new ConfigError(`--resume continues with the run's own ${out}/config.yaml; leave out --config and --recipe`);
  }
  return readRunConfig(out, set);
}
