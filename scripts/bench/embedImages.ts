/**
 * Compares the images a second of `embedImages`, as `evaluate knn` calls it, with two baselines on the same cores:
 * - the raw session, with batches of the same size;
 * - sequential batches: one engine worker with all threads runs one batch at a time while the next one is decoded.
 *   `embedImages` worked like this before decoding and several runs overlapped.
 *
 * The images are JPEG files of 384 x 256 in a folder. The measurements alternate.
 *
 *   node dist/scripts/bench/embedImages.js [--networks convnext_atto,resnet50] [--images 400] [--rounds 5] [--seconds 3]
 *     [--forms 1x2,2x1]   engine workers x threads to measure; default: those of `evaluate`
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { madePictures } from '../../src/bench/pictures.js';
import { treeCpuSeconds } from '../../src/bench/processCpu.js';
import { median } from '../../src/bench/quantile.js';
import { openRaw, type RawForm } from '../../src/bench/raw.js';
import { openImageSource } from '../../src/data/sources.js';
import type { Engine, OutputName } from '../../src/engine/engine.js';
import { createOnnxEngine } from '../../src/engine/onnxEngine.js';
import { decodeImage } from '../../src/image/decode.js';
import { prepareImage } from '../../src/image/resize.js';
import { openModelFolder } from '../../src/models/folder.js';
import { embedImages, type Represent } from '../../src/probe/embedImages.js';
import type { LabelledImages } from '../../src/probe/labelledImages.js';
import { type Tensor, tensor } from '../../src/tensor/tensor.js';
import { networkFolder } from './randomNetwork.js';

const { values } = parseArgs({
  options: {
    networks: { type: 'string', default: 'convnext_atto' },
    images: { type: 'string', default: '400' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    forms: { type: 'string' },
  },
});
const BATCH = 32;
const cores = availableParallelism();
const wantedOutputs: ReadonlySet<OutputName> = new Set(['representation']);
const rounded = (value: number) => Number(value.toPrecision(3));

/** The sequential baseline: one batch at a time. */
async function embedSequentially(
  { source, indices }: LabelledImages,
  represent: Represent,
  crop: number,
  resize: number,
) {
  const prepare = async (index: number) => {
    const decoded = await decodeImage(await source.read(index));
    return (await prepareImage(decoded, { kind: 'shortestSide', resize, crop }, 32)).image.data;
  };
  const batchFrom = (start: number) => Promise.all(indices.slice(start, start + BATCH).map(prepare));
  const rows: Float32Array[] = [];
  let next = batchFrom(0);
  for (let start = 0; start < indices.length; start += BATCH) {
    const images = await next;
    if (start + BATCH < indices.length) next = batchFrom(start + BATCH);
    const data = new Uint8Array(images.length * crop * crop * 3);
    for (const [i, image] of images.entries()) data.set(image, i * crop * crop * 3);
    rows.push((await represent(tensor('uint8', [images.length, crop, crop, 3], data))).data);
  }
  return rows.flatMap((row) => [...row]);
}

const representOf =
  (engine: Engine): Represent =>
  async (batch: Tensor<'uint8'>) =>
    (await engine.run(batch, wantedOutputs)).representation!;

interface Measurement {
  readonly imagesPerSecond: number;
  /** Processor milliseconds per image, of this process and its children. */
  readonly cpuMs: number;
}

interface Side {
  readonly name: string;
  /** Measures this side once. */
  measure(): Promise<Measurement>;
  close(): Promise<void>;
}

/** Times `work`, which processes all images once. */
async function timed(images: number, work: () => Promise<unknown>): Promise<Measurement> {
  const cpu = await treeCpuSeconds(process.pid);
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1e3;
  const used = ((await treeCpuSeconds(process.pid)) ?? Number.NaN) - (cpu ?? Number.NaN);
  return { imagesPerSecond: images / seconds, cpuMs: (used * 1e3) / images };
}

const scratch = await mkdtemp(join(tmpdir(), 'vicregl-embed-'));
try {
  const photographs = join(scratch, 'photographs');
  await mkdir(photographs);
  const pictures = await madePictures(384, 256, 40);
  const count = Number(values.images);
  for (let i = 0; i < count; i++) await writeFile(join(photographs, `${i}.jpg`), pictures[i % pictures.length]!);
  const source = await openImageSource(photographs);
  const images: LabelledImages = {
    source,
    indices: Array.from({ length: count }, (_, i) => i),
    labels: new Uint32Array(count),
  };

  for (const network of values.networks.split(',')) {
    const folder = await openModelFolder(await networkFolder(network, scratch));
    const { resize, crop } = folder.manifest.preprocessing;
    const { stride } = folder.manifest;
    const sides: Side[] = [];
    const rawSide = async (form: RawForm): Promise<Side> => {
      const raw = await openRaw(folder, 'cpu', form);
      return {
        name: `raw ${form.sessions}x${form.threads}`,
        async measure() {
          const { imagesPerSecond, cpuSecondsPerImage } = await raw.window(Number(values.seconds));
          return { imagesPerSecond, cpuMs: cpuSecondsPerImage * 1e3 };
        },
        close: raw.close,
      };
    };
    sides.push(await rawSide({ sessions: 1, threads: cores, batch: BATCH, spinning: true }));
    if (cores > 1) sides.push(await rawSide({ sessions: cores, threads: 1, batch: BATCH, spinning: false }));

    const sequentialEngine = await createOnnxEngine(folder, { device: 'cpu' });
    let expected: number[] = [];
    sides.push({
      name: 'sequential',
      measure: () =>
        timed(count, async () => {
          expected = await embedSequentially(images, representOf(sequentialEngine), crop, resize);
        }),
      close: sequentialEngine.close,
    });
    for (const form of (values.forms ?? `${cores}x1`).split(',')) {
      const [workers, threads] = form.split('x').map(Number) as [number, number];
      const engine = await createOnnxEngine(folder, { device: 'cpu', workers, threads });
      const options = { resize, crop, stride, batchSize: BATCH, runs: workers + 1 };
      sides.push({
        name: `overlapped ${form}`,
        measure: () =>
          timed(count, async () => {
            const { vectors } = await embedImages(images, representOf(engine), options);
            if (!vectors.data.every((value, i) => value === expected[i]))
              console.error(`overlapped ${form}: the vectors differ from those of the sequential baseline`);
          }),
        close: engine.close,
      });
    }

    const answer = tensor('float32', [BATCH, 1], new Float32Array(BATCH));
    const immediately: Represent = async ({ shape }) =>
      shape[0] === BATCH ? answer : tensor('float32', [shape[0]!, 1], new Float32Array(shape[0]!));
    sides.push({
      name: 'decoding only',
      measure: () => timed(count, () => embedImages(images, immediately, { resize, crop, stride, batchSize: BATCH })),
      close: async () => {},
    });

    const measurements = new Map(sides.map(({ name }) => [name, [] as Measurement[]]));
    for (let round = 0; round <= Number(values.rounds); round++) {
      for (const { name, measure } of sides) {
        const one = await measure();
        // The first round warms up.
        if (round > 0) measurements.get(name)!.push(one);
        console.error(`${network}, round ${round}: ${name} ${one.imagesPerSecond.toFixed(1)} images/s`);
      }
    }
    for (const { close } of sides) await close();
    const of = (figure: keyof Measurement) =>
      new Map([...measurements].map(([name, list]) => [name, median(list.map((one) => one[figure]))]));
    const medians = of('imagesPerSecond');
    const raw = Math.max(...[...medians].flatMap(([name, rate]) => (name.startsWith('raw') ? [rate] : [])));
    console.log(
      JSON.stringify(
        {
          network,
          machine: `${cores} x ${cpus()[0]?.model.trim()}`,
          images: count,
          batch: BATCH,
          imagesPerSecond: Object.fromEntries([...medians].map(([name, rate]) => [name, rounded(rate)])),
          cpuMsPerImage: Object.fromEntries([...of('cpuMs')].map(([name, ms]) => [name, rounded(ms)])),
          ratioToFastestRaw: Object.fromEntries([...medians].map(([name, rate]) => [name, rounded(rate / raw)])),
          ratioToSequential: Object.fromEntries(
            [...medians].map(([name, rate]) => [name, rounded(rate / medians.get('sequential')!)]),
          ),
        },
        null,
        1,
      ),
    );
  }
  await source.close();
} finally {
  await rm(scratch, { recursive: true });
}
