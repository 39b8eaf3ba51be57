/**
 * Measures the images a second of raw sessions by the number of images per run: for one session with all threads, and for
 * one single-threaded session per core. The measurements alternate in each round. Figures are medians.
 *
 *   node dist/scripts/bench/runSizes.js [--networks convnext_atto,resnet50] [--sizes 1,4,8,16] [--rounds 3] [--seconds 3]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from '../../src/bench/quantile.js';
import { measureRaw, type RawForm } from '../../src/bench/raw.js';
import { openModelFolder } from '../../src/models/folder.js';
import { networkFolder } from './randomNetwork.js';

const { values } = parseArgs({
  options: {
    networks: { type: 'string', default: 'convnext_atto,resnet50' },
    sizes: { type: 'string', default: '1,4,8,16' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
  },
});

const threads = availableParallelism();
const forms = values.sizes.split(',').flatMap((size): RawForm[] => [
  { sessions: 1, threads, batch: Number(size), spinning: false },
  { sessions: threads, threads: 1, batch: Number(size), spinning: false },
]);

const scratch = await mkdtemp(join(tmpdir(), 'vicregl-run-sizes-'));
try {
  for (const network of values.networks.split(',')) {
    const dir = await networkFolder(network, scratch);
    const folder = await openModelFolder(dir);
    const rates = forms.map((): number[] => []);
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const [i, form] of forms.entries()) {
        rates[i]!.push((await measureRaw(folder, 'cpu', form, Number(values.seconds))).imagesPerSecond);
      }
    }
    const rows = forms.map(({ sessions, threads: each, batch }, i) => ({
      ...{ sessions, threads: each, images: batch },
      imagesPerSecond: Number(median(rates[i]!).toPrecision(3)),
    }));
    console.log(JSON.stringify({ network, machine: `${threads} x ${cpus()[0]?.model.trim()}`, rows }, null, 1));
  }
} finally {
  await rm(scratch, { recursive: true });
}
