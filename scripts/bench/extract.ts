/**
 * Compares the images a second of `extract` with those of the raw session, in one run whose sides alternate. How its memory grows is
 * measured by extractMemory.ts, of the command as a process of its own.
 *
 * The images are JPEG files of 384 x 256 in a folder, cut from the photographs of test/fixtures/photos. The raw session runs the
 * backbone of the same model on prepared pixels, without reading, decoding or writing, in the form that is the fastest here. The
 * processor time of reading and decoding alone is measured too: where both sides keep all cores busy, it bounds the ratio.
 *
 *   node dist/scripts/bench/extract.js [--images 10000] [--parts 10] [--format npy] [--seconds 10] [--model DIR]
 *
 * `--parts`: the images are extracted in so many parts, between which the raw session is measured.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pLimit from 'p-limit';
import sharp from 'sharp';
import { machineName } from '../../src/bench/machine.js';
import { treeCpuSeconds } from '../../src/bench/processCpu.js';
import { median } from '../../src/bench/quantile.js';
import { fastestRaw, type RawForm, rawForms } from '../../src/bench/raw.js';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { startBatchEngine } from '../../src/cli/engine.js';
import { type ImageSource, openImageSource } from '../../src/data/sources.js';
import { modelDigest } from '../../src/evaluate/subjects/modelSubject.js';
import { extractFeatures } from '../../src/extract/extract.js';
import type { Wanted } from '../../src/extract/features.js';
import { type FormatName, openFormat } from '../../src/extract/formats/formats.js';
import { createLocalExtractor } from '../../src/extract/localExtractor.js';
import { defaultImageLimits } from '../../src/image/decode.js';
import { decodeInput } from '../../src/image/decodeInput.js';
import { defaultOutputLimits } from '../../src/image/resize.js';
import type { ResizePolicy } from '../../src/image/types.js';
import { openModelFolder } from '../../src/models/folder.js';
import { silentProgress } from '../../src/progress/work.js';
import { stream } from '../../src/tensor/random.js';

const { values } = parseArgs({
  options: {
    images: { type: 'string', default: '10000' },
    parts: { type: 'string', default: '10' },
    format: { type: 'string', default: 'npy' },
    seconds: { type: 'string', default: '10' },
    model: { type: 'string', default: bundledModelFolder },
  },
});
const count = Number(values.images);
const parts = Number(values.parts);
const [WIDTH, HEIGHT] = [384, 256];

/** Writes the files: distinct crops of the photographs, the same on every machine. */
async function writeImages(folder: string): Promise<void> {
  await mkdir(folder);
  const photographs = await Promise.all(
    ['astronaut.jpg', 'coffee.jpg', 'chelsea.png'].map((name) =>
      sharp(join('test/fixtures/photos', name)).resize(600, 500, { fit: 'cover' }).removeAlpha().raw().toBuffer(),
    ),
  );
  for (let i = 0; i < count; i++) {
    const random = stream(i, 'bench extract');
    const [left, top] = [random.integer(600 - WIDTH + 1), random.integer(500 - HEIGHT + 1)];
    const raw = { width: 600, height: 500, channels: 3 } as const;
    const file = await sharp(photographs[i % photographs.length]!, { raw })
      .extract({ left, top, width: WIDTH, height: HEIGHT })
      .jpeg({ quality: 90 })
      .toBuffer();
    await writeFile(join(folder, `${String(i).padStart(6, '0')}.jpg`), file);
  }
}

/** Images whose decoding alone is measured after each part. */
const DECODED = 100;
/** As in `extract`: the threads that decode. */
const decoding = pLimit(Math.max(4, availableParallelism()));

/** Processor milliseconds of reading and decoding an image. */
async function decodeMs(source: ImageSource, first: number, policy: ResizePolicy, stride: number): Promise<number> {
  const wanted = { policy, stride, limits: { image: defaultImageLimits, output: defaultOutputLimits } };
  const items = Array.from({ length: Math.min(DECODED, count) }, (_, i) => (first + i) % count);
  const before = process.cpuUsage();
  await Promise.all(
    items.map((item) => decoding(async () => decodeInput({ encoded: await source.read(item) }, wanted))),
  );
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e3 / items.length;
}

/** The batch of `extract`, which the forms of other benchmarks lack. */
const smallBatches: RawForm = { sessions: availableParallelism(), threads: 1, batch: 2, spinning: false };

const rounded = (value: number) => Number(value.toPrecision(3));
const scratch = await mkdtemp(join(tmpdir(), 'vicregl-bench-extract-'));
try {
  await writeImages(join(scratch, 'images'));
  const source = await openImageSource(join(scratch, 'images'));
  const folder = await openModelFolder(values.model);
  const { preprocessing, stride } = folder.manifest;
  const raw = await fastestRaw(folder, 'cpu', [...rawForms('cpu'), smallBatches], Number(values.seconds) / 2);
  const wanted: Wanted = { embedding: { space: 'backbone' }, dtype: 'float32', l2: false };
  const engine = await startBatchEngine(folder, { device: 'cpu' }, () => {});
  const policy = { kind: 'shortestSide', resize: preprocessing.resize, crop: preprocessing.crop } as const;
  const extractor = createLocalExtractor(engine, {
    wanted,
    policy,
    sha256: modelDigest(folder.manifest),
    pooled: false,
  });
  const formatName = values.format as FormatName;
  const format = await openFormat(formatName, { outputs: extractor.outputs, oneSize: true, dtype: 'float32' });

  const rates: number[] = [];
  const ratios: number[] = [];
  /** CPU time of an image: of this process and its workers. */
  const cpuMs: number[] = [];
  const decodingMs: number[] = [];
  for (let index = 0; index < parts; index++) {
    const before = (await raw.side.window(Number(values.seconds))).imagesPerSecond;
    const cpu = await treeCpuSeconds(process.pid);
    const start = performance.now();
    const { images } = await extractFeatures({
      source,
      extractor,
      wanted,
      out: join(scratch, 'out'),
      formatName,
      format,
      oneSize: true,
      resize: `shortest:${preprocessing.resize},${preprocessing.crop}`,
      inputPixels: preprocessing.crop ** 2,
      share: { index, count: parts, origin: 'bench' },
      batch: extractor.batch,
      resume: false,
      maxFailures: 0,
      signal: new AbortController().signal,
      progress: silentProgress,
      note: () => {},
    });
    const milliseconds = performance.now() - start;
    const used = ((await treeCpuSeconds(process.pid)) ?? Number.NaN) - (cpu ?? Number.NaN);
    cpuMs.push((used * 1e3) / images);
    const after = (await raw.side.window(Number(values.seconds))).imagesPerSecond;
    decodingMs.push(await decodeMs(source, Math.floor((index * count) / parts), policy, stride));
    const rate = images / (milliseconds / 1e3);
    rates.push(rate);
    ratios.push(rate / ((before + after) / 2));
    console.error(
      `part ${index}: extract ${rate.toFixed(1)} images/s, raw ${before.toFixed(1)} and ${after.toFixed(1)}`,
    );
  }
  const { threads, sessions, batch, spinning, cpuSecondsPerImage } = raw.side.measurement();
  const rawMs = cpuSecondsPerImage * 1e3;
  console.log(
    JSON.stringify(
      {
        machine: machineName(),
        model: folder.manifest.name,
        images: count,
        format: formatName,
        stride,
        batch: extractor.batch,
        raw: { threads, sessions, batch, spinning, imagesPerSecond: rounded(raw.side.measurement().imagesPerSecond) },
        imagesPerSecond: rounded(median(rates)),
        ratio: rounded(median(ratios)),
        cpuMsPerImage: {
          extract: rounded(median(cpuMs)),
          raw: rounded(rawMs),
          readAndDecode: rounded(median(decodingMs)),
        },
        /** The ratio of a program that only reads, decodes and runs the raw session, while all cores are busy. */
        bound: rounded(rawMs / (rawMs + median(decodingMs))),
        cpuRatio: rounded(rawMs / median(cpuMs)),
        ratios: ratios.map(rounded),
      },
      null,
      1,
    ),
  );
  await raw.side.close();
  await extractor.close();
  await source.close();
} finally {
  await rm(scratch, { recursive: true });
}
