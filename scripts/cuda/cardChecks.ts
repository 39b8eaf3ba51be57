/**
 * The sections of firstCard.ts that no other script measures. Each prints lines of JSON. The exit code is 1 when the device
 * fails the check.
 *
 *   node dist/scripts/cuda/cardChecks.js libraries|device|inference|training --device cuda [--arch resnet18]
 *     [--model models/vicregl-resnet18-half] [--size 64] [--batch 8] [--precision fp16]
 *
 * With NVIDIA_TF32_OVERRIDE=0 in the environment, CUDA multiplies in float32 and must agree with the CPU to that precision.
 * Otherwise it multiplies in TF32, and the tolerances are larger. With --precision, the training step on the device is in 16 bits, and is
 * compared with that of the CPU in float32.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bundledModelFolder } from '../../src/cli/defaults.js';
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
import { initialState, LEARNING_RATE, precisionOf, stepBatch, stepConfig } from '../bench/stepCase.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cuda' },
    arch: { type: 'string', default: 'convnext_atto,resnet18' },
    model: { type: 'string', default: bundledModelFolder },
    size: { type: 'string', default: '64' },
    batch: { type: 'string', default: '8' },
    precision: { type: 'string', default: 'fp32' },
  },
});
if (values.device !== 'cpu' && values.device !== 'cuda')
  throw new Error(`--device is ${values.device}; it is cpu or cuda`);
const device: Provider = values.device;
const exact = device === 'cpu' || process.env['NVIDIA_TF32_OVERRIDE'] === '0';
const ofProducts = precisionOf(values.precision);
const precision = ofProducts === 'fp32' ? (exact ? 'float32' : 'TF32') : ofProducts;

const print = (value: Readonly<Record<string, unknown>>) => console.log(JSON.stringify(value));
const rounded = (value: number) => Number(value.toPrecision(3));

/** Prints the message and sets the exit code to 1 when the condition is false. The section continues. */
function expect(condition: boolean, message: string): void {
  if (condition) return;
  console.error(message);
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
  // The provider is not linked with cuDNN: it loads the library at the first use, so ldd does not list it.
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

/** Two views of each image of waves, as in the benchmarks of the training step: two tensors [N, S, S, 3]. */
function waveImages(): Tensor<'uint8'>[] {
  const config = stepConfig({
    ...{ arch: 'resnet18', size: Number(values.size), batch: Number(values.batch) },
    ...{ expander: '8', projector: '8' },
  });
  return stepBatch(config).views as Tensor<'uint8'>[];
}

async function inference(): Promise<void> {
  const folder = await openModelFolder(values.model);
  const path = folder.graphPath('backbone')!;
  const [cpuSession, deviceSession] = [await createSession(path), await createSession(path, { device })];
  const images = waveImages().flatMap((view) =>
    Array.from({ length: view.shape[0]! }, (_, i) => rows(view, i, i + 1) as Tensor<'uint8'>),
  );
  const answers = [];
  for (const image of images)
    answers.push([await runBackbone(cpuSession, image), await runBackbone(deviceSession, image)] as const);
  await cpuSession.release();
  await deviceSession.release();
  const pairs = answers.map(([cpu, other]) => imageAgreement(cpu, other));
  const representation = summariseCosines(pairs.map((pair) => pair.representation));
  const cells = summariseCosines(pairs.flatMap((pair) => pair.cells ?? []));
  const minCosine = exact ? 0.99999 : 0.999;

  // The nearest neighbours of the cells of each image in the next image, from the maps of both devices.
  let [matches, same] = [0, 0];
  for (const [i, [cpu, other]] of answers.entries()) {
    const next = answers[(i + 1) % answers.length]!;
    const channels = cpu.maps.shape.at(-1)!;
    const nearest = (a: Tensor, b: Tensor) => {
      const search = nearestNeighbours({ a: a.data as Float32Array, b: b.data as Float32Array, channels });
      for (let step = search.next(); ; step = search.next()) if (step.done) return step.value.fromA.index;
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
    representation.worst >= minCosine && cells.worst >= minCosine,
    `the lowest cosine between the device and the CPU is ${Math.min(representation.worst, cells.worst)}, below ${minCosine}`,
  );
  expect(same / matches >= (exact ? 0.99 : 0.9), `only ${same} of ${matches} matches agree with those of the CPU`);
}

/** Squared norm of the difference of two tensors, and squared norm of the first. */
function difference(a: Tensor, b: Tensor): { readonly squaredError: number; readonly squaredNorm: number } {
  let [squaredError, squaredNorm] = [0, 0];
  for (let i = 0; i < a.data.length; i++) {
    squaredError += (Number(a.data[i]) - Number(b.data[i])) ** 2;
    squaredNorm += Number(a.data[i]) ** 2;
  }
  return { squaredError, squaredNorm };
}

/** Relative differences of loss and gradients from those of float32 that are allowed. */
const TOLERANCES = { float32: [1e-4, 1e-3], TF32: [1e-2, 0.2], fp16: [1e-2, 0.2], bf16: [5e-2, 0.5] } as const;
const fixedScale: readonly [string, Tensor] = ['loss_scale/value', tensor('float32', [], Float32Array.of(64))];

/**
 * Compares the loss and all gradients of a step: the CPU's graph on the CPU, and CUDA's graph on the device. With
 * `--device cpu`, both run on the CPU, and only the forms of the two graphs are compared.
 */
async function training(): Promise<void> {
  for (const arch of values.arch.split(',')) {
    const config = stepConfig({
      ...{ arch, size: Number(values.size), batch: Number(values.batch) },
      ...{ expander: '128-128-128', projector: '64-64-64' },
    });
    const onDevice = { ...config, precision: ofProducts };
    const batch = stepBatch(config);
    const answers = [];
    for (const [provider, on, of] of [
      ['cpu', 'cpu', config],
      ['cuda', device, onDevice],
    ] as const) {
      const step = buildStep(of, { provider, gradients: true });
      const feeds = new Map<string, Tensor>([
        ...initialState(step, of),
        // Gradients at the scale in which a run starts may overflow.
        ...(ofProducts === 'fp16' && of === onDevice ? [fixedScale] : []),
        ...stepFeeds(of, { dropPathRate: 0, seed: 0 }, { step: 0, learningRate: LEARNING_RATE, batch }),
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
    const sum = (of: 'squaredError' | 'squaredNorm') => parts.reduce((total, part) => total + part[of], 0);
    const gradients = Math.sqrt(sum('squaredError') / sum('squaredNorm'));
    const loss = Math.abs(theirs - ours) / Math.abs(ours);
    print({
      arch,
      device,
      precision,
      loss: ours,
      loss_difference: rounded(loss),
      gradient_difference: rounded(gradients),
    });
    const [maxLossError, maxGradientError] = TOLERANCES[precision];
    expect(loss <= maxLossError, `${arch}: the losses are ${ours} and ${theirs}`);
    expect(gradients <= maxGradientError, `${arch}: the gradients differ by ${gradients} of their norm`);
  }
}

const checks = { libraries, device: proveDevice, inference, training } as const;
const check = positionals[0] as keyof typeof checks | undefined;
if (check === undefined || !(check in checks)) throw new Error(`usage: cardChecks.js ${Object.keys(checks).join('|')}`);
await checks[check]();
