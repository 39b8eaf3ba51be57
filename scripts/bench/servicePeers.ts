/**
 * Compares the service with two peers in one run. Both have the same network with the same weights:
 * - a Python gRPC server (peers/pythonServer.py: grpcio, PyTorch, Pillow);
 * - @huggingface/transformers in a loop in Node (peers/transformersLoop.mjs; first run `npm ci --prefix scripts/bench/peers`).
 *
 * The input is a JPEG file, the output a vector. The windows of all sides alternate. The vector of each peer must agree with
 * that of the service within 1 % of its length. A peer that cannot start is skipped, and the reason is reported.
 *
 *   node dist/scripts/bench/servicePeers.js [--arch resnet50] [--seconds 3] [--rounds 3] [--concurrency 8]
 *     [--python /usr/bin/python3]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startChild } from '../../src/bench/child.js';
import type { GeneratedWindow } from '../../src/bench/loadProcess.js';
import { madePictures } from '../../src/bench/pictures.js';
import { median, quantile } from '../../src/bench/quantile.js';
import { startService } from '../../src/bench/serviceProcess.js';
import { createClient } from '../../src/client/index.js';
import { backbone, backboneNamed } from '../../src/nn/backbone.js';
import { constantParameters } from '../../src/nn/parameters.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { EXPORT_OPSET, Graph } from '../../src/onnx/graph.js';
import { transpose } from '../../src/onnx/ops/shape.js';
// Disables telemetry also in the peers: they have their own ONNX Runtime, and inherit this process' environment.
import '../../src/onnx/telemetry.js';
import { machineName } from '../../src/bench/machine.js';
import { writeSafetensors } from '../../src/tensor/safetensors.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { writeRandomNetwork } from './randomNetwork.js';

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: 'resnet50' },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    concurrency: { type: 'string', default: '8' },
    python: { type: 'string', default: '/usr/bin/python3' },
  },
});
const { arch } = values;
const seconds = Number(values.seconds);
const concurrency = Number(values.concurrency);
const rounded = (value: number) => Number(value.toPrecision(3));
const inRepository = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** One side of the comparison. */
interface Side {
  readonly name: string;
  window(): Promise<{ readonly imagesPerSecond: number; readonly latencies: ArrayLike<number> }>;
  close(): Promise<void>;
}

interface LineProcess {
  readonly child: ChildProcess;
  /** Reads the next line of stdout as JSON. */
  next<T>(): Promise<T>;
}

function startLines(command: string, args: readonly string[]): LineProcess {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const failed = once(child, 'error').then(([error]) => {
    throw error as Error;
  });
  const lines: Interface = createInterface({ input: child.stdout! });
  const iterator = lines[Symbol.asyncIterator]();
  return {
    child,
    async next<T>() {
      const { value, done } = await Promise.race([iterator.next(), failed]);
      if (done === true) throw new Error(`${command} ${args[0]} exited before it answered`);
      return JSON.parse(value as string) as T;
    },
  };
}

async function stop({ child }: LineProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill();
  await exited;
}

/** A side with a load generator over gRPC. The service and the Python server have the same API. */
async function grpcSide(name: string, address: string, images: Buffer[], close: () => Promise<void>): Promise<Side> {
  const generator = startChild(new URL('../../src/bench/loadProcess.js', import.meta.url));
  await generator.ask({
    kind: 'open',
    target: { address, method: 'Embed', images, deadlineMs: 60_000, connections: 1 },
  });
  return {
    name,
    async window() {
      const window = await generator.ask<GeneratedWindow>({
        kind: 'window',
        load: { kind: 'closed', concurrency },
        lengths: { ramp: 0.5, seconds },
      });
      return { imagesPerSecond: window.completed / window.seconds, latencies: window.latencies };
    },
    async close() {
      await generator.close();
      await close();
    },
  };
}

function checkVector(name: string, vector: ArrayLike<number>, expected: Float32Array): void {
  const difference = Math.hypot(...Array.from(expected, (value, i) => value - vector[i]!)) / Math.hypot(...expected);
  if (!(difference < 0.01)) throw new Error(`${name} differs from the service by ${difference} of the vector's length`);
}

async function pythonSide(weights: string, images: Buffer[], expected: Float32Array): Promise<Side> {
  const server = startLines(values.python, [
    ...[inRepository('scripts/bench/peers/pythonServer.py'), '--weights', weights, '--arch', arch],
    ...['--proto', inRepository('proto'), '--threads', String(availableParallelism())],
  ]);
  const { address, torch, grpc } = await server.next<{ address: string; torch: string; grpc: string }>();
  const client = createClient({ address });
  const name = `Python gRPC server (grpcio ${grpc}, PyTorch ${torch})`;
  checkVector(name, (await client.embed(images[0]!)).vector, expected);
  await client.close();
  return grpcSide(name, address, images, () => stop(server));
}

/** Writes a model as @huggingface/transformers expects it: input `pixel_values` [B, 3, H, W], output `last_hidden_state` [B, C, h, w]. */
async function writeTransformersModel(dir: string, weights: ReadonlyMap<string, Tensor>): Promise<void> {
  const graph = new Graph(EXPORT_OPSET);
  const pixels = graph.input('pixel_values', 'float32', ['batch', 3, 'height', 'width']);
  const parameters = constantParameters(graph, weights);
  const maps = backbone(transpose(pixels, [0, 2, 3, 1]), backboneNamed(arch), parameters, { prefix: 'backbone.' });
  graph.output('last_hidden_state', transpose(maps, [0, 3, 1, 2]));
  await mkdir(join(dir, 'onnx'), { recursive: true });
  await writeFile(join(dir, 'onnx', 'model.onnx'), encodeModel(graph));
  await writeFile(join(dir, 'config.json'), JSON.stringify({ model_type: arch.replace(/[\d_].*/, '') }));
  const preprocessor = {
    image_processor_type: 'CLIPImageProcessor',
    ...{ do_resize: true, size: { shortest_edge: 256 }, resample: 3 },
    ...{ do_center_crop: true, crop_size: { width: 224, height: 224 }, do_rescale: true, rescale_factor: 1 / 255 },
    ...{ do_normalize: true, image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] },
  };
  await writeFile(join(dir, 'preprocessor_config.json'), JSON.stringify(preprocessor));
}

async function transformersSide(dir: string, images: Buffer[], expected: Float32Array, batch: number): Promise<Side> {
  const files = join(dir, 'images.json');
  await writeFile(files, JSON.stringify(images.map((image) => image.toString('base64'))));
  const loop = startLines(process.execPath, [
    inRepository('scripts/bench/peers/transformersLoop.mjs'),
    dir,
    arch,
    files,
  ]);
  const { ready, vector } = await loop.next<{ ready: string; vector: number[] }>();
  const name = `@huggingface/transformers ${ready}, batch ${batch}`;
  checkVector(name, vector, expected);
  return {
    name,
    window() {
      loop.child.stdin!.write(`${JSON.stringify({ seconds, batch })}\n`);
      return loop.next();
    },
    close: () => stop(loop),
  };
}

const scratch = await mkdtemp(join(tmpdir(), 'vicregl-peers-'));
const sides: Side[] = [];
const skipped: string[] = [];
try {
  const weights = await writeRandomNetwork(join(scratch, 'served'), arch);
  const images = await madePictures();
  const service = await startService(['--model', join(scratch, 'served'), '--device', 'cpu', '--log-level', 'info']);
  sides.push(await grpcSide('vicregl', service.address, images, () => service.stop()));
  const client = createClient({ address: service.address });
  const { vector } = await client.embed(images[0]!);
  await client.close();

  const file = join(scratch, 'weights.safetensors');
  await writeSafetensors(file, new Map(weights));
  await writeTransformersModel(join(scratch, arch), weights);
  for (const open of [
    () => pythonSide(file, images, vector),
    () => transformersSide(scratch, images, vector, 1),
    () => transformersSide(scratch, images, vector, 8),
  ]) {
    try {
      sides.push(await open());
    } catch (error) {
      skipped.push(String(error));
    }
  }
  const measured = sides.map(({ name }) => ({ name, rates: [] as number[], latencies: [] as number[] }));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [i, side] of sides.entries()) {
      const { imagesPerSecond, latencies } = await side.window();
      measured[i]!.rates.push(imagesPerSecond);
      measured[i]!.latencies.push(...Array.from(latencies));
    }
  }
  const vicreglRate = median(measured[0]!.rates);
  console.log(
    JSON.stringify(
      {
        arch,
        machine: machineName(),
        concurrency,
        sides: measured.map(({ name, rates, latencies }) => ({
          name,
          imagesPerSecond: rounded(median(rates)),
          ratioToVicregl: rounded(median(rates) / vicreglRate),
          p50Ms: rounded(median(latencies)),
          p99Ms: rounded(quantile(latencies, 0.99)),
        })),
        skipped,
      },
      null,
      1,
    ),
  );
} finally {
  for (const side of sides) await side.close();
  await rm(scratch, { recursive: true });
}
