/**
 * Processor time that a plain JPEG file costs from its bytes to the network's input: decoded whole and then resized (two
 * pipelines), and as the service does it (one, `src/image/decodeInput.ts`). The two take turns; figures are medians.
 *
 *   node dist/scripts/bench/decodeCost.js [--sizes 384x256,2400x1600,4032x3024,4031x3021] [--rounds 15] [--runs 5]
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { madePictures } from '../../src/bench/pictures.js';
import { median } from '../../src/bench/quantile.js';
import { decodeImage } from '../../src/image/decode.js';
import { decodeInput } from '../../src/image/decodeInput.js';
import { prepareImage } from '../../src/image/resize.js';
import { defaultServeLimits } from '../../src/serve/limits.js';

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '384x256,2400x1600,4032x3024,4031x3021' },
    rounds: { type: 'string', default: '15' },
    runs: { type: 'string', default: '5' },
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
  const taken = { two: [] as number[], one: [] as number[] };
  for (let round = 0; round < Number(values.rounds); round++) {
    taken.two.push(await cpuMs(ways.two));
    taken.one.push(await cpuMs(ways.one));
  }
  const ms = (list: number[]) => Number(median(list).toPrecision(3));
  rows.push({ size, bytes: file.byteLength, twoPipelinesMs: ms(taken.two), onePipelineMs: ms(taken.one) });
}
console.log(JSON.stringify({ machine: cpus()[0]?.model.trim(), rows }, null, 1));
