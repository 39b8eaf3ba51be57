/**
 * The raw session that the service is compared with, in a separate process: the backbone of a model runs in a loop on prepared
 * pixels, without decoding, resizing or transport.
 */
import { arithmeticOf } from '../models/arithmetic.js';
import type { Manifest } from '../models/manifest.js';
import { createSession, toOrt } from '../onnx/session.js';
import { tensor } from '../tensor/tensor.js';
import { answerParent } from './child.js';

export interface RawSetup {
  /** Path of the backbone's graph. */
  readonly path: string;
  readonly compute: Manifest['compute'];
  readonly device: 'cpu' | 'cuda';
  /** Intra-op threads. */
  readonly threads: number;
  /** Whether waiting threads spin, the default of ONNX Runtime. */
  readonly spinning: boolean;
  /** Images per run. */
  readonly batch: number;
  /** Side of the square input in pixels. */
  readonly side: number;
}

export type RawRequest =
  | { readonly kind: 'open'; readonly setup: RawSetup }
  | { readonly kind: 'window'; readonly seconds: number };

export interface RawWindow {
  readonly imagesPerSecond: number;
  /** CPU seconds per image. */
  readonly cpuSecondsPerImage: number;
}

let run: (() => Promise<void>) | undefined;
let batch = 1;

async function open({ path, compute, device, threads, spinning, side, ...setup }: RawSetup): Promise<void> {
  batch = setup.batch;
  const session = await createSession(path, { device, threads, spinning, ...arithmeticOf(compute) });
  const pixels = Uint8Array.from({ length: batch * side * side * 3 }, () => Math.random() * 256);
  const feeds = { images: toOrt(tensor('uint8', [batch, side, side, 3], pixels)) };
  run = async () => {
    const { representation } = await session.run(feeds, ['representation']);
    await representation!.getData();
    representation!.dispose();
  };
  // Warm-up: the first runs allocate memory.
  for (let i = 0; i < 2; i++) await run();
}

async function window(seconds: number): Promise<RawWindow> {
  if (run === undefined) throw new Error('a window was requested before the session was opened');
  const cpu = process.cpuUsage();
  const start = performance.now();
  let images = 0;
  while (performance.now() < start + seconds * 1e3) {
    await run();
    images += batch;
  }
  const elapsed = (performance.now() - start) / 1e3;
  const { user, system } = process.cpuUsage(cpu);
  return { imagesPerSecond: images / elapsed, cpuSecondsPerImage: (user + system) / 1e6 / images };
}

answerParent(async (request: RawRequest): Promise<RawWindow | undefined> => {
  if (request.kind === 'window') return window(request.seconds);
  await open(request.setup);
  return undefined;
});
