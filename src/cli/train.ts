import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { type Collectives, singleProcess } from '../distributed/collectives.js';
import { startMpi } from '../distributed/mpi.js';
import { visibleDevices } from '../distributed/rankDevice.js';
import { ownProcessors, threadsOfRank } from '../distributed/rankThreads.js';
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
import { reportError } from './reportError.js';
import { shellWord } from './shellWord.js';
import { stopOnSignals } from './stopOnSignals.js';
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
  readonly distributed?: 'mpi';
}

/** `vicregl train`: pretraining on a folder or archive of photographs. */
export function registerTrain(program: Command): void {
  program
    .command('train')
    .description('Pretrain a model on photographs.')
    .option(
      '--config <file>',
      'YAML configuration (see recipes/); not with --resume, which uses the configuration of the run',
    )
    .option('--recipe <name>', 'a bundled configuration, instead of --config (see vicregl recipes list)')
    .option(
      '--set <key=value>',
      'set one key of the configuration, such as optimizer.baseLr=0.001; may be repeated; with --resume only certain keys',
      (value: string, all: readonly string[]) => [...all, value],
      [],
    )
    .option('--out <dir>', 'run folder for configuration, log and checkpoints')
    .addOption(new Option('--device <device>', 'device for the training step').choices(['cpu', 'cuda']).default('cpu'))
    .addOption(
      new Option(
        '--distributed <kind>',
        'share every batch among the processes that mpirun or srun has started, each with this command line',
      ).choices(['mpi']),
    )
    .option(
      '--micro-batch <count>',
      'photographs per forward pass, for batches larger than memory; same as --set microBatch=COUNT',
      wholeNumber(1),
    )
    .option('--resume', 'resume the run in --out', false)
    .option(
      '--init <path>',
      'initialise from the weights of a model (folder or name), a run folder, or a checkpoint file (ours, PyTorch, safetensors), as far as they match',
    )
    .option(
      '--init-prefix <text>',
      'prefix of the weight names that selects one of several encoders of the checkpoint, such as teacher/backbone.',
    )
    .addOption(
      checkpointOption(
        'checkpoint to resume from (with --resume) or to start from (with --init RUN): latest (default), best, or a step number',
      ),
    )
    .option(
      '--dry-run',
      'do not train; print parameters, FLOPs, memory, steps and learning rates, and draw crops to OUT/dry-run',
      false,
    )
    .action(async ({ microBatch, ...given }: TrainFlags) => {
      const micro = { text: `microBatch=${microBatch}`, flag: `--micro-batch ${microBatch}` };
      const flags = microBatch === undefined ? given : { ...given, set: [...given.set, micro] };
      checkInitFlags(flags);
      if (flags.dryRun) return runDry(flags);
      const stop = new AbortController();
      if (flags.distributed === undefined) {
        const off = stopOnSignals(() => stop.abort());
        return runTraining(flags, singleProcess, stop.signal).finally(off);
      }
      // Open MPI's mpirun passes SIGUSR2 on at once, and SIGTERM with SIGKILL on its heels. The listeners stay until the process has ended:
      // a signal may reach a rank that has stopped already and waits for the others, and would end them all.
      stopOnSignals(() => stop.abort(), ['SIGUSR2']);
      const collectives = await startMpi(process.env);
      await together(collectives, () => runTraining(flags, collectives, stop.signal));
    });
}

/** Trains, on this rank. */
async function runTraining(flags: TrainFlags, collectives: Collectives, signal: AbortSignal): Promise<void> {
  const { out, device, resume, checkpoint } = flags;

  if (out === undefined) throw new ConfigError('--out DIR is required: the run folder');
  // A path that is not a run folder is reported as such before it is reported as not writable.
  const config = resume ? await resumedConfig(flags, out) : await startedConfig(flags);
  const leads = collectives.rank === 0;
  if (leads) await checkOutputFolder('--out', out);
  const init = leads ? await initOf(flags) : undefined;
  const result = await train(config, {
    run: out,
    device,
    resume,
    ...(resume && checkpoint !== undefined && { checkpoint }),
    ...(init && { init }),
    signal,
    collectives,
    ...(collectives.size > 1 && { threads: await threadsOfRank(collectives, await ownProcessors()) }),
    ...(device === 'cuda' && collectives.size > 1 && { visible: await visibleDevices(process.env) }),
    createProgress: (start, total) => createProgress(start, total, process.stderr),
  });
  if (!leads) return;
  console.log(`step ${result.steps} of ${result.totalSteps}: ${result.checkpoint}`);
  if (result.steps === result.totalSteps) {
    console.log(`done; export with: npx vicregl export ${shellWord(out)} --out ${shellWord(`models/${config.name}`)}`);
    return;
  }
  const again = `train --out ${shellWord(out)} --resume${device === 'cuda' ? ' --device cuda' : ''}`;
  // Not npx behind a launcher: it dies of the signal that saves the run.
  console.log(
    collectives.size > 1
      ? `stopped early; continue on any number of ranks with: node_modules/.bin/vicregl ${again} --distributed mpi`
      : `stopped early; continue with: npx vicregl ${again}`,
  );
}

/** Milliseconds after which a rank reports an error, so that one that all have is reported by rank 0 alone. */
const PATIENCE_MS = 2000;

/**
 * Runs the work of all ranks. If it fails on one, all end: the others may wait for it in an operation.
 * A rank that is killed ends them too, by MPI itself.
 */
async function together(collectives: Collectives, work: () => Promise<void>): Promise<void> {
  const { rank, size } = collectives;
  try {
    await work();
    await collectives.barrier();
  } catch (error) {
    if (rank > 0) await delay(PATIENCE_MS);
    reportError(error, size > 1 ? `rank ${rank} of ${size}` : undefined);
    collectives.abort(1);
    return;
  }
  await collectives.close();
}

/** @throws ConfigError for flags that cannot be combined. */
function checkInitFlags({ init, initPrefix, resume, checkpoint }: TrainFlags): void {
  if (init !== undefined && resume) {
    throw new ConfigError(
      '--init cannot be combined with --resume: a resumed run continues from its own checkpoint; remove --init',
    );
  }
  if (initPrefix !== undefined && init === undefined) throw new ConfigError('--init-prefix requires --init');
  if (checkpoint !== undefined && init === undefined && !resume) {
    throw new ConfigError('--checkpoint requires --resume or --init');
  }
}

/** The weights of --init; a path that does not exist may be the name of a model. */
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

/** Writes to a subfolder of --out or of the working folder; does not touch other files. */
async function runDry(flags: TrainFlags): Promise<void> {
  if (flags.resume) throw new ConfigError('--dry-run cannot be combined with --resume');
  if (flags.distributed !== undefined) {
    throw new ConfigError(
      '--dry-run describes one process and cannot be combined with --distributed; remove --distributed. For the memory of each of ' +
        'N ranks take --micro-batch with batchSize / N: weights, graph and program are about those of a rank',
    );
  }
  const folder = join(flags.out ?? '.', 'dry-run');
  await checkOutputFolder('--out', folder);
  const config = await startedConfig(flags);
  const init = await initOf(flags);
  printDryRun(config, await dryRun(config, folder, { device: flags.device, ...(init && { init }) }), folder);
}

async function startedConfig({ config, recipe, set }: TrainFlags) {
  if (config !== undefined && recipe !== undefined) throw new ConfigError('use --config or --recipe, not both');
  if (recipe !== undefined) return loadTrainConfig(await recipePath(recipe), set);
  if (config === undefined) {
    throw new ConfigError('--config FILE or --recipe NAME is required (see recipes/), or --resume to continue a run');
  }
  return ofInput('--config', config, () => loadTrainConfig(config, set));
}

function resumedConfig({ config, recipe, set }: TrainFlags, out: string) {
  if (config !== undefined || recipe !== undefined) {
    throw new ConfigError(`--resume uses the run's own ${out}/config.yaml; remove --config and --recipe`);
  }
  return readRunConfig(out, set);
}
