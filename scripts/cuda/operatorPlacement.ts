/**
 * Shows which execution provider runs each operator of the training step and of an exported model, from ONNX Runtime's
 * profile. The exit code is 1 when an operator runs on another device than the requested one.
 *
 *   node dist/scripts/cuda/operatorPlacement.js --device cuda [--arch convnext_atto,resnet18] [--size 64] [--batch 8]
 *     [--steps-per-run 1] [--model models/vicregl-resnet18-half]
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { openModelFolder } from '../../src/models/folder.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { createSession, type SessionConfig, TRAINING_SESSION, toOrt } from '../../src/onnx/session.js';
import { stack, type Tensor, zeros } from '../../src/tensor/tensor.js';
import { repeatStep } from '../../src/train/repeatedStep.js';
import { stepFeeds } from '../../src/train/stepFeeds.js';
import { buildStep } from '../../src/train/stepGraph.js';
import { initialState, LEARNING_RATE, stepBatch, stepConfig } from '../bench/stepCase.js';
import { type Placement, placements } from './profilePlacement.js';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    arch: { type: 'string', default: 'convnext_atto,resnet18' },
    size: { type: 'string', default: '64' },
    batch: { type: 'string', default: '8' },
    'steps-per-run': { type: 'string', default: '1' },
    model: { type: 'string', default: bundledModelFolder },
  },
});
const { device } = values;
if (device !== 'cpu' && device !== 'cuda') throw new Error(`--device is ${device}; it is cpu or cuda`);
const requestedProvider = { cpu: 'CPUExecutionProvider', cuda: 'CUDAExecutionProvider' }[device];

/** Runs a model once and returns the placements from its profile. */
async function profiled(
  model: Uint8Array | string,
  feeds: ReadonlyMap<string, Tensor>,
  config: SessionConfig = {},
): Promise<Placement[]> {
  const folder = await mkdtemp(join(tmpdir(), 'vicregl-placement-'));
  try {
    const session = await createSession(model, {
      ...config,
      device: device as 'cpu' | 'cuda',
      cpuFallback: true,
      profile: join(folder, 'profile'),
    });
    await session.run(Object.fromEntries([...feeds].map(([name, value]) => [name, toOrt(value)])));
    session.endProfiling();
    await session.release();
    const [file] = await readdir(folder);
    return placements(await readFile(join(folder, file!), 'utf8'));
  } finally {
    await rm(folder, { recursive: true });
  }
}

function report(what: string, found: readonly Placement[]): void {
  const elsewhere = found.filter(({ provider }) => provider !== requestedProvider);
  const total = found.reduce((sum, { microseconds }) => sum + microseconds, 0);
  const elsewhereTime = elsewhere.reduce((sum, { microseconds }) => sum + microseconds, 0);
  const runs = (list: readonly Placement[]) => list.reduce((sum, { count }) => sum + count, 0);
  console.log(
    JSON.stringify({
      what,
      provider: requestedProvider,
      operators: runs(found),
      elsewhere: runs(elsewhere),
      share_of_time: elsewhereTime / total,
    }),
  );
  for (const { operator, provider, count, microseconds } of elsewhere) {
    console.log(JSON.stringify({ what, operator, provider, count, microseconds }));
  }
  if (elsewhere.length > 0 || found.length === 0) process.exitCode = 1;
}

const stepsPerRun = Number(values['steps-per-run']);
for (const arch of values.arch.split(',')) {
  const config = stepConfig({
    arch,
    size: Number(values.size),
    batch: Number(values.batch),
    expander: '128-128-128',
    projector: '64-64-64',
  });
  const step = buildStep(config, { provider: device as 'cpu' | 'cuda' });
  const state = initialState(step, config);
  const batch = stepBatch(config);
  const each = Array.from({ length: stepsPerRun }, (_, at) =>
    stepFeeds(config, { dropPathRate: 0, seed: 0 }, { step: at, learningRate: LEARNING_RATE, batch }),
  );
  const graph = stepsPerRun > 1 ? repeatStep(step, [...state.keys()]) : step.graph;
  const feeds = new Map(state);
  for (const [name, value] of each[0]!) {
    feeds.set(name, stepsPerRun > 1 ? stack(each.map((of) => of.get(name)!)) : value);
  }
  report(`training step of ${arch}`, await profiled(encodeModel(graph), feeds, TRAINING_SESSION));
}
const folder = await openModelFolder(values.model);
const images = zeros('uint8', [2, 224, 224, 3]);
report(`backbone of ${values.model}`, await profiled(folder.graphPath('backbone')!, new Map([['images', images]])));
