import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { buildResult } from '../../src/evaluate/result/buildResult.js';
import { meanFigure } from '../../src/evaluate/result/figures.js';
import { selectCells } from '../../src/experiments/cells.js';
import type { CommandEnd, StartCommand } from '../../src/experiments/command.js';
import { loadExperiment } from '../../src/experiments/experiment.js';
import { gatherExperiment } from '../../src/experiments/report/gather.js';
import { type ExperimentOptions, runExperiment } from '../../src/experiments/runExperiment.js';
import { loadCheckpoint } from '../../src/train/checkpoint.js';
import { loadTrainConfig } from '../../src/train/configFile.js';
import { readRunConfig } from '../../src/train/runFolder.js';
import { tinyKeys, trainTiny, writePhotographs } from './tinyRun.js';

/** Experiments whose commands run in this process: real training, and an evaluation that hashes the trained weights. */

const ended = (stdout: string): CommandEnd => ({ code: 0, signal: null, stdout, stderr: '' });
const flagOf = (args: readonly string[], flag: string) => args[args.indexOf(flag) + 1]!;

async function trainCommand(args: readonly string[], signal: AbortSignal, stopAt?: number): Promise<CommandEnd> {
  const run = flagOf(args, '--out');
  const resume = args.includes('--resume');
  const config = resume ? await readRunConfig(run) : await loadTrainConfig(flagOf(args, '--config'));
  const stop = new AbortController();
  signal.addEventListener('abort', () => stop.abort());
  const progress = { step: ({ step }: { readonly step: number }) => step === stopAt && stop.abort() };
  const result = await trainTiny(run, config, { resume, signal: stop.signal, progress: progress as never });
  return ended(`step ${result.steps} of ${result.totalSteps}: ${result.checkpoint}\n`);
}

/**
 * Writes a result whose items are bytes of a digest of the weights. `--train-images` are images that were used, `--out-head` a folder
 * that may not exist yet, and other flags but --train and --seed are options.
 */
async function evaluateCommand(args: readonly string[]): Promise<CommandEnd> {
  const {
    seed: _,
    train: __,
    ...flags
  } = Object.fromEntries(
    args.flatMap((arg) => {
      const [, name, value] = /^--(.+?)=(.*)$/.exec(arg) ?? [];
      return name === undefined ? [] : [[name, value!]];
    }),
  );
  const { 'out-head': head, 'train-images': images, ...options } = flags;
  if (head !== undefined) await mkdir(head);
  const { tensors } = await loadCheckpoint(flagOf(args, '--run'));
  const hash = createHash('sha256');
  for (const [name, { data }] of [...tensors].sort()) {
    hash.update(name).update(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  }
  const items = [...hash.digest()].map((byte) => byte / 255);
  const figure = meanFigure({ name: 'top1', label: 'top-1', unit: 'share', better: 'higher' }, items);
  const result = buildResult({
    kind: 'knn',
    protocol: 'bytes of the weights',
    command: [...args],
    seed: 0,
    options,
    data:
      images === undefined
        ? []
        : [{ role: 'train', source: 'x', fingerprint: 'x', images: Number(images), skipped: [] }],
    items: items.map(String).map((_, i) => `${i}.jpg`),
    sources: [{ name: 'trained', model: 'x', digest: 'x' } as never],
    measures: [{ figures: [figure] }],
    began: performance.now(),
  });
  await writeFile(flagOf(args, '--out'), JSON.stringify(result));
  return ended('');
}

/** How an experiment is run. */
export interface TinyOptions extends Partial<ExperimentOptions> {
  readonly shard?: { readonly index: number; readonly count: number };
  readonly only?: readonly string[];
  /** Keys of the experiment's file. */
  readonly changes?: object;
  /** Fails evaluations. */
  readonly broken?: boolean;
  /** Step after which the first training stops, as by a signal to the command. */
  readonly stopAt?: number;
}

const file = {
  name: 'tiny',
  recipe: './base.yaml',
  variants: { vicregl: {}, vicreg: { loss: { alpha: 1 } } } as object,
  seeds: [1, 2],
  baseline: 'vicreg',
  evaluations: { knn: { train: 'x' } } as object,
};

/** A folder for experiments: of two variants and two seeds, unless `changes` say otherwise. */
export async function tinyExperiments() {
  const root = await mkdtemp(join(tmpdir(), 'vicregl-experiment-'));
  const { seed: _, ...keys } = tinyKeys(join(root, 'photographs'));
  await writePhotographs(
    join(root, 'photographs'),
    Array.from({ length: 8 }, (_, i) => `${i}.jpg`),
  );
  await writeFile(join(root, 'base.yaml'), stringify({ ...keys, checkpoints: { every: 2 } }));

  async function experimentOf(changes: object = {}) {
    const path = join(root, 'experiment.yaml');
    await writeFile(path, stringify({ ...file, ...changes }));
    return loadExperiment(path, {
      recipePath: assert.fail,
      evaluationCommand: (_, flags) => Object.entries(flags).map(([key, value]) => `--${key}=${value}`),
      variables: {},
    });
  }

  /** @returns the commands that were started, besides what happened. */
  async function run(out: string, { shard, only, changes, broken, stopAt, ...options }: TinyOptions = {}) {
    const experiment = await experimentOf(changes);
    const commands: string[] = [];
    const stop = new AbortController();
    const lines: string[] = [];
    const startCommand: StartCommand = (args) => {
      commands.push(args.slice(0, 2).join(' '));
      const failed = (error: Error) => ({ code: 1, signal: null, stdout: '', stderr: `vicregl: ${error.message}\n` });
      if (stopAt !== undefined) stop.abort();
      const end =
        args[0] === 'train'
          ? trainCommand(args, new AbortController().signal, stopAt)
          : broken
            ? Promise.reject(new Error('no labels'))
            : evaluateCommand(args);
      return { ended: end.catch(failed), stop: () => undefined };
    };
    const cells = selectCells(experiment, { ...(shard && { shard }), ...(only && { only }) });
    const summary = await runExperiment(cells, {
      ...{ experiment, out: join(root, out), device: 'cpu', retryFailed: false, restartChanged: false, reuse: [] },
      ...{ startCommand, signal: stop.signal, say: (line: string) => lines.push(line) },
      ...options,
    });
    return { summary, lines, commands };
  }

  const gather = async (outs: readonly string[], floors?: string, baseline?: string) => {
    const folders = outs.map((out) => join(root, out));
    return gatherExperiment(folders, {
      ...(floors !== undefined && { floors: join(root, floors) }),
      ...(baseline !== undefined && { baseline }),
    });
  };
  return {
    root,
    run,
    gather,
    /** What is gathered, without times. */
    figures: async (...outs: string[]) => {
      const { seconds: _, curves: __, ...report } = await gather(outs);
      return report;
    },
    remove: () => rm(root, { recursive: true }),
  };
}
