/**
 * Measures the cost of a JPEG file from its bytes to the network's input.
 *
 * - Processor time with two pipelines (decode the whole image, then resize it) and with one, as in the service
 *   (`src/image/decodeInput.ts`).
 * - Images a second when decoding in this process and in decode processes (`src/decode`), with as many callers as
 *   processes, their ratio, and the time of a single image in both.
 *
 * The measurements alternate. The figures are medians.
 *
 *   node dist/scripts/bench/decodeCost.js [--sizes 384x256,2400x1600,4032x3024,4031x3021] [--rounds 15] [--runs 5]
 *     [--processes 2]
 */
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { madePictures } from '../../src/bench/pictures.js';
import { median } from '../../src/bench/quantile.js';
import { startDecodeProcesses } from '../../src/decode/decodeProcesses.js';
import type { Decoder } from '../../src/decode/decoder.js';
import { createLocalDecoder } from '../../src/decode/localDecoder.js';
import { decodeImage } from '../../src/image/decode.js';
import { decodeInput } from '../../src/image/decodeInput.js';
import { prepareImage } from '../../src/image/resize.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '384x256,2400x1600,4032x3024,4031x3021' },
    rounds: { type: 'string', default: '15' },
    runs: { type: 'string', default: '5' },
    processes: { type: 'string', default: String(availableParallelism()) },
  },
});
const runs = Number(values.runs);
const policy = { kind: 'shortestSide', resize: 256, crop: 224 } as const;
const STRIDE = 32;
const limits = defaultServeLimits;

/** Processor milliseconds of one run, summed over all threads of this process. */
async function cpuMs(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < runs; i++) await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e3 / runs;
}

const callers = Number(values.processes);
const neverAborted = new AbortController().signal;
const local = createLocalDecoder();
const inProcesses = await startDecodeProcesses({ processes: callers, seconds: 60, log: console.error });

/** Images a second of `count` callers. Each sends its next image when the previous one is done. */
async function imagesPerSecond(decoder: Decoder, file: Uint8Array, count: number): Promise<number> {
  const options = { policy, stride: STRIDE, limits };
  const start = performance.now();
  await Promise.all(
    Array.from({ length: count }, async () => {
      for (let i = 0; i < runs; i++) await decoder.input({ encoded: file }, options, neverAborted);
    }),
  );
  return (count * runs) / ((performance.now() - start) / 1000);
}

const rows = [];
for (const size of values.sizes.split(',')) {
  const [width, height] = size.split('x').map(Number) as [number, number];
  const [file] = (await madePictures(width, height, 1)) as [Buffer];
  const ways = {
    two: async () => prepareImage(await decodeImage(file, limits.image), policy, STRIDE, limits.output),
    one: () => decodeInput({ encoded: file }, { policy, stride: STRIDE, limits }),
  };
  // Warm-up: the first run of each loads libraries and starts threads.
  for (const work of Object.values(ways)) await work();
  for (const decoder of [local, inProcesses]) await imagesPerSecond(decoder, file, callers);
  const cpuTimes = { two: [] as number[], one: [] as number[] };
  const rates = {
    inProcess: [] as number[],
    inProcesses: [] as number[],
    inProcessSingle: [] as number[],
    inProcessesSingle: [] as number[],
  };
  for (let round = 0; round < Number(values.rounds); round++) {
    cpuTimes.two.push(await cpuMs(ways.two));
    cpuTimes.one.push(await cpuMs(ways.one));
    rates.inProcess.push(await imagesPerSecond(local, file, callers));
    rates.inProcesses.push(await imagesPerSecond(inProcesses, file, callers));
    rates.inProcessSingle.push(await imagesPerSecond(local, file, 1));
    rates.inProcessesSingle.push(await imagesPerSecond(inProcesses, file, 1));
  }
  const figure = (list: number[]) => Number(median(list).toPrecision(3));
  const ratio = median(rates.inProcesses.map((rate, round) => rate / rates.inProcess[round]!));
  rows.push({
    ...{ size, bytes: file.byteLength, twoPipelinesMs: figure(cpuTimes.two), onePipelineMs: figure(cpuTimes.one) },
    imagesPerSecond: {
      inProcess: figure(rates.inProcess),
      inProcesses: figure(rates.inProcesses),
      ratio: Number(ratio.toFixed(3)),
    },
    oneImageMs: {
      inProcess: figure(rates.inProcessSingle.map((rate) => 1000 / rate)),
      inProcesses: figure(rates.inProcessesSingle.map((rate) => 1000 / rate)),
    },
  });
}
await inProcesses.close();
console.log(JSON.stringify({ machine: cpus()[0]?.model.trim(), callers, rows }, null, 1));
