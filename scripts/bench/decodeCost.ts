/**
 * What a plain JPEG file costs from its bytes to the network's input.
 *
 * - Processor time: decoded whole and then resized (two pipelines), and as the service does it (one,
 *   `src/image/decodeInput.ts`).
 * - Images a second of as many callers as there are processes: decoded in this process, and in decode processes
 *   (`src/decode`), with the ratio, and the time of one image alone in both.
 *
 * The sides take turns; figures are medians.
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

/** Processor milliseconds of one run, all threads of this process together. */
async function cpuMs(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < runs; i++) await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e3 / runs;
}

const callers = Number(values.processes);
const patient = new AbortController().signal;
const local = createLocalDecoder();
const apart = await startDecodeProcesses({ processes: callers, seconds: 60, log: console.error });

/** Images a second of callers that each send the next when the last is done. */
async function imagesPerSecond(decoder: Decoder, file: Uint8Array, count: number): Promise<number> {
  const wanted = { policy, stride: STRIDE, limits };
  const start = performance.now();
  await Promise.all(
    Array.from({ length: count }, async () => {
      for (let i = 0; i < runs; i++) await decoder.input({ encoded: file }, wanted, patient);
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
  // The first of each opens libraries and starts threads.
  for (const work of Object.values(ways)) await work();
  for (const decoder of [local, apart]) await imagesPerSecond(decoder, file, callers);
  const taken = { two: [] as number[], one: [] as number[] };
  const rates = { here: [] as number[], apart: [] as number[], hereAlone: [] as number[], apartAlone: [] as number[] };
  for (let round = 0; round < Number(values.rounds); round++) {
    taken.two.push(await cpuMs(ways.two));
    taken.one.push(await cpuMs(ways.one));
    rates.here.push(await imagesPerSecond(local, file, callers));
    rates.apart.push(await imagesPerSecond(apart, file, callers));
    rates.hereAlone.push(await imagesPerSecond(local, file, 1));
    rates.apartAlone.push(await imagesPerSecond(apart, file, 1));
  }
  const figure = (list: number[]) => Number(median(list).toPrecision(3));
  const ratio = median(rates.apart.map((rate, round) => rate / rates.here[round]!));
  rows.push({
    ...{ size, bytes: file.byteLength, twoPipelinesMs: figure(taken.two), onePipelineMs: figure(taken.one) },
    imagesPerSecond: {
      inProcess: figure(rates.here),
      inProcesses: figure(rates.apart),
      ratio: Number(ratio.toFixed(3)),
    },
    oneImageMs: {
      inProcess: figure(rates.hereAlone.map((rate) => 1000 / rate)),
      inProcesses: figure(rates.apartAlone.map((rate) => 1000 / rate)),
    },
  });
}
await apart.close();
console.log(JSON.stringify({ machine: cpus()[0]?.model.trim(), callers, rows }, null, 1));
