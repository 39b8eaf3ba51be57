/**
 * Sections of firstCard.ts that no other script measures; each prints lines of JSON and fails where the device is wrong.
 *
 *   node dist/scripts/cuda/cardChecks.js libraries|device|inference|training --device cuda [--arch resnet18]
 *     [--model models/vicregl-convnext-atto] [--size 64] [--batch 8]
 *
 * With NVIDIA_TF32_OVERRIDE=0 in the environment CUDA multiplies in float32, and is held to it; else in TF32.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { nearestNeighbours } from '../../src/match/nearest.js';
import { imageAgreement, runBackbone, summariseCosines } from '../../src/models/agreement.js';
import { openModelFolder } from '../../src/models/folder.js';
import { loadProblem, providerPath, providerProblem } from '../../src/onnx/cuda/loader.js';
import { cudaProof } from '../../src/onnx/cuda/proof.js';
import { encodeModel } from '../../src/onnx/encode.js';
import type { Provider } from '../../src/onnx/graph.js';
import { createSession, runSession, TRAINING_SESSION } from '../../src/onnx/session.js';
import { rows, type Tensor, tensor } from '../../src/tensor/tensor.js';
import { stepNames } from '../../src/train/stepConfig.js';
import { stepFeeds } from '../../src/train/stepFeeds.js';
import { buildStep } from '../../src/train/stepGraph.js';
import { initialState, LEARNING_RATE, stepBatch, stepConfig } from '../bench/stepCase.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cuda' },
    arch: { type: 'string', default: 'convnext_atto,resnet18' },
    model: { type: 'string', default: 'models/vicregl-convnext-atto' },
    size: { type: 'string', default: '64' },
    batch: { type: 'string', default: '8' },
  },
});
if (values.device !== 'cpu' && values.device !== 'cuda') throw new Error(`--device is ${values.device}; cpu or cuda`);
const device: Provider = values.device;
const exact = device === 'cpu' || process.env['NVIDIA_TF32_OVERRIDE'] === '0';
const precision = exact ? 'float32' : 'TF32';

const print = (value: Readonly<Record<string, unknown>>) => console.log(JSON.stringify(value));
const rounded = (value: number) => Number(value.toPrecision(3));

/** What the session found wrong, which is what the section fails with. */
function expect(holds: boolean, otherwise: string): void {
  if (holds) return;
  console.error(otherwise);
  process.exitCode = 1;
}

function libraries(): void {
  const smi = spawnSync(
    'nvidia-smi',
    ['--query-gpu=name,driver_version,memory.total,compute_cap', '--format=csv,noheader'],
    {
      encoding: 'utf8',
    },
  );
  print({ what: 'cards', found: smi.status === 0 ? smi.stdout.trim() : (smi.error?.message ?? smi.stderr.trim()) });
  const problem = providerProblem();
  print({ what: "ONNX Runtime's CUDA provider", found: problem ?? providerPath() });
  if (existsSync(providerPath())) {
    const { stdout } = spawnSync('ldd', [providerPath()], { encoding: 'utf8' });
    for (const [, file, found] of stdout.matchAll(/^\s*(lib(?:cu|nv)\S+) => (.+?)(?: \(0x\w+\))?$/gm)) {
      print({ what: file, found });
    }
  }
  // The provider loads it when it first needs it; it is not among what it is linked with.
  print({ what: 'libcudnn.so.9', found: loadProblem('libcudnn.so.9') ?? 'loads' });
  if (device === 'cuda') expect(problem === undefined, `the provider cannot be loaded: ${problem}`);
}

async function proveDevice(): Promise<void> {
  const start = performance.now();
  const { model, feeds, check } = cudaProof();
  const session = await createSession(model, { device });
  check(await runSession(session, feeds));
  await session.release();
  print({ what: 'a convolution', device, seconds: rounded((performance.now() - start) / 1e3) });
}

/** Images [N, S, S, 3] of waves, as of the benchmarks' steps: two views of each. */
function pictures(): Tensor<'uint8'>[] {
  const config = stepConfig({
    ...{ arch: 'resnet18', size: Number(values.size), batch: Number(values.batch) },
    ...{ expander: '8', projector: '8' },
  });
  return stepBatch(config).views as Tensor<'uint8'>[];
}

async function inference(): Promise<void> {
  const folder = await openModelFolder(values.model);
  const path = folder.graphPath('backbone')!;
  const [here, there] = [await createSession(path), await createSession(path, { device })];
  const images = pictures().flatMap((view) =>
    Array.from({ length: view.shape[0]! }, (_, i) => rows(view, i, i + 1) as Tensor<'uint8'>),
  );
  const answers = [];
  for (const image of images) answers.push([await runBackbone(here, image), await runBackbone(there, image)] as const);
  await here.release();
  await there.release();
  const pairs = answers.map(([cpu, other]) => imageAgreement(cpu, other));
  const representation = summariseCosines(pairs.map((pair) => pair.representation));
  const cells = summariseCosines(pairs.flatMap((pair) => pair.cells ?? []));
  const least = exact ? 0.99999 : 0.999;

  // The nearest cells of one image's map in the next one's, by both devices' maps.
  let [matches, same] = [0, 0];
  for (const [i, [cpu, other]] of answers.entries()) {
    const next = answers[(i + 1) % answers.length]!;
    const channels = cpu.maps.shape.at(-1)!;
    const nearest = (a: Tensor, b: Tensor) => {
      const search = nearestNeighbours({ a: a.data as Float32Array, b: b.data as Float32Array, channels });
      for (let turn = search.next(); ; turn = search.next()) if (turn.done) return turn.value.fromA.index;
    };
    const found = nearest(other.maps, next[1].maps);
    nearest(cpu.maps, next[0].maps).forEach((index, at) => {
      matches += 1;
      if (found[at] === index) same += 1;
    });
  }
  const result = { model: folder.manifest.name, device, precision, images: images.length, representation, cells };
  print({ ...result, matches, same_matches: rounded(same / matches) });
  expect(
    representation.worst >= least && cells.worst >= least,
    `the device and the CPU agree to ${Math.min(representation.worst, cells.worst)}, less than ${least}`,
  );
  expect(same / matches >= (exact ? 0.99 : 0.9), `only ${same} of ${matches} matches are the CPU's`);
}

/** Norm of the difference of two tensors over that of the first, and its square apart. */
function difference(a: Tensor, b: Tensor): { readonly squared: number; readonly norm: number } {
  let [squared, norm] = [0, 0];
  for (let i = 0; i < a.data.length; i++) {
    squared += (Number(a.data[i]) - Number(b.data[i])) ** 2;
    norm += Number(a.data[i]) ** 2;
  }
  return { squared, norm };
}

/**
 * The loss and all gradients of a step, of the graph for the CPU on the CPU and of that for CUDA on the device. With the
 * CPU as the device this compares the two graphs' forms alone.
 */
async function training(): Promise<void> {
  for (const arch of values.arch.split(',')) {
    const config = stepConfig({
      ...{ arch, size: Number(values.size), batch: Number(values.batch) },
      ...{ expander: '128-128-128', projector: '64-64-64' },
    });
    const batch = stepBatch(config);
    const answers = [];
    for (const [provider, on] of [
      ['cpu', 'cpu'],
      ['cuda', device],
    ] as const) {
      const step = buildStep(config, { provider, gradients: true });
      const feeds = new Map<string, Tensor>([
        ...initialState(step, config),
        ...stepFeeds(config, { dropPathRate: 0, seed: 0 }, { step: 0, learningRate: LEARNING_RATE, batch }),
      ]);
      const session = await createSession(encodeModel(step.graph), { ...TRAINING_SESSION, device: on });
      const names = step.parameters.map(({ name }) => stepNames.gradient(name));
      answers.push({ names, found: await runSession(session, feeds, ['l', ...names]) });
      await session.release();
    }
    const [cpu, other] = answers as [(typeof answers)[0], (typeof answers)[0]];
    const [ours, theirs] = [cpu, other].map(({ found }) => Number(found.get('l')!.data[0])) as [number, number];
    const empty = tensor('float32', [0], new Float32Array());
    const parts = cpu.names.map((name) => difference(cpu.found.get(name)!, other.found.get(name) ?? empty));
    const sum = (of: 'squared' | 'norm') => parts.reduce((total, part) => total + part[of], 0);
    const gradients = Math.sqrt(sum('squared') / sum('norm'));
    const loss = Math.abs(theirs - ours) / Math.abs(ours);
    print({
      arch,
      device,
      precision,
      loss: ours,
      loss_difference: rounded(loss),
      gradient_difference: rounded(gradients),
    });
    const [mostLoss, mostGradient] = exact ? [1e-4, 1e-3] : [1e-2, 0.2];
    expect(loss <= mostLoss, `${arch}: the losses are ${ours} and ${theirs}`);
    expect(gradients <= mostGradient, `${arch}: the gradients differ by ${gradients} of their norm`);
  }
}

const checks = { libraries, device: proveDevice, inference, training } as const;
const check = positionals[0] as keyof typeof checks | undefined;
if (check === undefined || !(check in checks)) throw new Error(`say which of ${Object.keys(checks).join(', ')}`);
await checks[check]();
