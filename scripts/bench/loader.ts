/**
 * Measures how many images a second one thread decodes, crops and augments, stage by stage and through the loader. Then
 * measures the share of the training time that waits for the loader.
 *
 *   node dist/scripts/bench/loader.js --images DIR [--count 100] [--rounds 3] [--steps 20] [--batch 64] [--workers 1]
 *
 * --steps 0 skips the training.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { median } from '../../src/bench/quantile.js';
import { augment } from '../../src/data/augment.js';
import { gaussianBlur } from '../../src/data/blur.js';
import { adjustBrightness, adjustContrast, adjustSaturation, greyscale } from '../../src/data/color.js';
import { adjustHue } from '../../src/data/hue.js';
import { createLoader } from '../../src/data/loader.js';
import { batchBytes } from '../../src/data/loaderOptions.js';
import { type ImageSource, openImageSource } from '../../src/data/sources.js';
import { drawView, renderView, type ViewSpec } from '../../src/data/view.js';
import { cropImage } from '../../src/image/crop.js';
import { decodeImage } from '../../src/image/decode.js';
import type { RgbImage } from '../../src/image/types.js';
import { stream } from '../../src/tensor/random.js';
import { parseTrainConfig } from '../../src/train/config.js';
import { viewsOf } from '../../src/train/plan.js';
import type { StepRecord } from '../../src/train/runLog.js';
import { train } from '../../src/train/trainer.js';
import { runRecords } from '../../test/support/runRecords.js';

const { values } = parseArgs({
  options: {
    images: { type: 'string' },
    count: { type: 'string', default: '100' },
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '20' },
    batch: { type: 'string', default: '64' },
    workers: { type: 'string', default: '1' },
  },
});
if (values.images === undefined) throw new Error('--images is missing: a folder of photographs');
const [rounds, steps, batchSize, workers] = [values.rounds, values.steps, values.batch, values.workers].map(Number) as [
  number,
  number,
  number,
  number,
];

// The settings of a loader thread.
sharp.concurrency(1);
sharp.cache(false);

const source = await openImageSource(values.images);
const count = Math.min(Number(values.count), source.count);
const crops = { size: 224, scale: [0.08, 1] as [number, number], mirrorFlippedGrid: true };
const small = { count: 6, size: 96, scale: [0.08, 0.4] as [number, number] };
const model = { architecture: 'convnext_atto' };
const layouts: Readonly<Record<string, readonly ViewSpec[]>> = {
  '2 x 224': viewsOf(parsed({ crops, model })),
  '2 x 224 + 6 x 96': viewsOf(
    parsed({ crops: { ...crops, scale: [0.4, 1], small }, model, loss: { numMatches: [20, 4] } }),
  ),
};

function parsed(keys: object) {
  const all = { name: 'bench', data: { source: 'unused' }, batchSize, epochs: 1, warmupEpochs: 0, ...keys };
  return parseTrainConfig(all, 'the benchmark');
}

/** Milliseconds per image, as the median over the rounds. The images are processed in sequence. */
async function milliseconds<T>(images: readonly T[], work: (image: T, i: number) => unknown): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    for (const [i, image] of images.entries()) await work(image, i);
    times.push((performance.now() - start) / images.length);
  }
  return median(times);
}

const row = (stage: string, ms: number) => console.log(`| ${stage} | ${ms.toFixed(2)} | ${(1e3 / ms).toFixed(0)} |`);

const encoded = await Promise.all(Array.from({ length: count }, (_, i) => source.read(i)));
const decoded: RgbImage[] = [];
for (const bytes of encoded) decoded.push(await decodeImage(bytes));
const pixels = decoded.reduce((sum, { width, height }) => sum + width * height, 0) / count;
console.log(`${count} photographs of on average ${(pixels / 1e6).toFixed(2)} megapixels, one thread\n`);
console.log('| stage | ms | images/s |\n| --- | --- | --- |');
row('decode', await milliseconds(encoded, (bytes) => decodeImage(bytes)));

// Single operations on views of 224 pixels.
const view = layouts['2 x 224']![0]!;
const rendered: Uint8Array[] = [];
for (const [i, image] of decoded.entries()) {
  const { crop } = drawView(stream(0, i), image, view);
  rendered.push((await cropImage(image, crop, { width: 224, height: 224 })).image.data);
}
const operations: Readonly<Record<string, (data: Uint8Array) => void>> = {
  brightness: (data) => adjustBrightness(data, 1.1),
  contrast: (data) => adjustContrast(data, 0.9),
  saturation: (data) => adjustSaturation(data, 1.1),
  hue: (data) => adjustHue(data, 0.05),
  greyscale: (data) => greyscale(data),
  'blur, sigma 1': (data) => gaussianBlur(data, 224, 224, 1),
};
for (const [name, operate] of Object.entries(operations)) {
  const copies = rendered.map((data) => data.slice());
  row(`${name}, one view of 224`, await milliseconds(copies, operate));
}

for (const [name, views] of Object.entries(layouts)) {
  const drawn = decoded.map((image, i) => views.map((spec, v) => drawView(stream(0, i, v), image, spec)));
  row(
    `${name}: crop and resize`,
    await milliseconds(decoded, async (image, i) => {
      for (const [v, { crop }] of drawn[i]!.entries()) {
        await cropImage(image, crop, { width: views[v]!.size, height: views[v]!.size });
      }
    }),
  );
  const blank = views.map(({ size }) => new Uint8Array(size * size * 3).map((_, i) => (i * 7) & 255));
  const change = (jitter: boolean, blur: boolean) =>
    milliseconds(decoded, (_, i) => {
      for (const [v, { augmentation }] of drawn[i]!.entries()) {
        const { size } = views[v]!;
        const part = {
          jitter: jitter ? augmentation.jitter : [],
          greyscale: jitter && augmentation.greyscale,
          blurSigma: blur ? augmentation.blurSigma : undefined,
          solarize: jitter ? augmentation.solarize : undefined,
        };
        augment(blank[v]!.slice(), size, size, part);
      }
    });
  row(`${name}: colour, as often as drawn`, await change(true, false));
  row(`${name}: blur, as often as drawn`, await change(false, true));
  row(
    `${name}: all, decoding included`,
    await milliseconds(encoded, async (bytes, i) => {
      const image = await decodeImage(bytes);
      for (const [v, one] of drawn[i]!.entries()) await renderView(image, one, views[v]!.size);
    }),
  );
  row(`${name}: the loader, ${workers} thread${workers > 1 ? 's' : ''}`, await throughLoader(source, views));
}

/** Milliseconds per image through the loader. The first batch is not measured. */
async function throughLoader(images: ImageSource, views: readonly ViewSpec[]): Promise<number> {
  const size = Math.min(16, images.count);
  const loader = createLoader({ source: images, views, batchSize: size, seed: 0, workers, cacheBytes: 0 });
  await loader.batch(0);
  const start = performance.now();
  const measured = Math.max(2, Math.ceil((rounds * count) / size));
  for (let step = 1; step <= measured; step++) await loader.batch(step);
  const elapsed = performance.now() - start;
  await loader.close();
  return elapsed / (measured * size);
}

for (const [name, views] of Object.entries(layouts)) {
  console.log(`\na batch of 1,024 with ${name}: ${Math.round(batchBytes(views, 1024) / 1e6)} MB`);
}

if (steps > 0) {
  const run = await mkdtemp(join(tmpdir(), 'vicregl-loader-'));
  try {
    const stepsPerEpoch = Math.floor(source.count / batchSize);
    const config = parsed({
      data: { source: values.images, workers, cacheBytes: 0 },
      crops: { size: 128, scale: [0.4, 1] },
      model: { ...model, expander: [1024, 1024, 1024], localProjector: [256, 256, 256], dropPath: 0 },
      loss: { alpha: 0.75, numMatches: [4, 4], featureMatches: 'top' },
      epochs: steps / stepsPerEpoch,
    });
    const progress = { step: () => undefined, note: () => undefined, stop: () => undefined };
    await train(config, {
      run: join(run, 'run'),
      device: 'cpu',
      resume: false,
      curves: false,
      createProgress: () => progress,
    });
    const records = (await runRecords(join(run, 'run'))).filter((record): record is StepRecord => 'lr' in record);
    const share = (from: number) => {
      const measured = records.slice(from);
      const total = measured.reduce((sum, { images_per_s }) => sum + batchSize / images_per_s, 0);
      const waited = measured.reduce(
        (sum, { images_per_s, wait_share }) => sum + (wait_share * batchSize) / images_per_s,
        0,
      );
      return `${((100 * waited) / total).toFixed(1)} % of ${total.toFixed(1)} s`;
    };
    console.log(
      `\nconvnext_atto, 2 x 128 px, batch ${batchSize}, ${records.length} steps, nothing cached, ${availableParallelism()} cores: ` +
        `waiting for photographs ${share(1)} (without the first step; ${share(0)} with it), ` +
        `median ${median(records.map(({ images_per_s }) => images_per_s)).toFixed(1)} images/s`,
    );
  } finally {
    await rm(run, { recursive: true });
  }
}
