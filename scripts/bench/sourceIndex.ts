/**
 * Measures time and memory of indexing WebDataset shards and a list. By default they have the size of ImageNet: 128 shards of
 * 10,000 samples, which are links to one file, and a list with as many lines. A sample is a .cls and a .jpg of 110 KB, which
 * is a hole in a sparse file.
 *
 *   node --expose-gc dist/scripts/bench/sourceIndex.js [--shards 128] [--samples 10000] [--image-bytes 110000]
 */
import { mkdir, mkdtemp, open, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Header } from 'tar';
import { epochs } from '../../src/data/epochs.js';
import { sourceFingerprint } from '../../src/data/sourceFingerprint.js';
import { openImageSource, type SourceOptions } from '../../src/data/sources.js';

const { values } = parseArgs({
  options: {
    shards: { type: 'string', default: '128' },
    samples: { type: 'string', default: '10000' },
    'image-bytes': { type: 'string', default: '110000' },
  },
});
const [shards, samples, imageBytes] = [Number(values.shards), Number(values.samples), Number(values['image-bytes'])];
const total = shards * samples;
const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20);

const root = await mkdtemp(join(tmpdir(), 'vicregl-index-'));
try {
  await mkdir(join(root, 'shards'));
  const file = await open(join(root, 'one.tar'), 'w');
  let offset = 0;
  const addFile = async (path: string, size: number, content?: string): Promise<void> => {
    const block = Buffer.alloc(512);
    new Header({ path, size, type: 'File', mode: 0o644, mtime: new Date(0) }).encode(block);
    await file.write(block, 0, 512, offset);
    if (content !== undefined) await file.write(Buffer.from(content), 0, size, offset + 512);
    offset += 512 + Math.ceil(size / 512) * 512;
  };
  for (let i = 0; i < samples; i++) {
    const key = `n01440764_${String(i).padStart(6, '0')}`;
    await addFile(`${key}.cls`, 3, String(100 + (i % 900)));
    await addFile(`${key}.jpg`, imageBytes);
  }
  await file.truncate(offset + 1024);
  await file.close();
  for (let s = 0; s < shards; s++) {
    await symlink('../one.tar', join(root, 'shards', `train-${String(s).padStart(6, '0')}.tar`));
  }
  console.log(`${shards} shards of ${samples} samples and ${(offset / 2 ** 30).toFixed(2)} GiB each`);
  await measure('indexed, no cache written', { keepShardsFrom: Number.POSITIVE_INFINITY });
  await measure('indexed, cache written', { keepShardsFrom: 0 });
  await measure('read from the cache', {});

  await writeFile(join(root, 'a.jpg'), '');
  const lines = Array.from({ length: total }, (_, i) => `./${'/'.repeat(i % 7)}a.jpg,${i % 1000}`);
  await writeFile(join(root, 'list.csv'), `path,label\n${lines.join('\n')}\n`);
  lines.length = 0;
  await report(`list of ${total} lines, with a check that each file exists`, () =>
    openImageSource(join(root, 'list.csv'), { labels: 'given' }),
  );
} finally {
  await rm(root, { recursive: true });
}

/** Collects garbage. Shared memory is released only in the collection after that of its last view. */
async function collect(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await setTimeout(10);
  }
}

function measure(what: string, options: SourceOptions) {
  return report(what, () =>
    openImageSource(join(root, 'shards'), { labels: 'given', shardCache: join(root, 'cache'), ...options }),
  );
}

/** Opens a source and prints time and memory. The retained bytes are measured after a garbage collection. */
async function report(what: string, openSource: () => ReturnType<typeof openImageSource>): Promise<void> {
  await collect();
  const before = process.memoryUsage();
  const start = performance.now();
  const source = await openSource();
  const opened = performance.now();
  await collect();
  const after = process.memoryUsage();
  const retained = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
  const fingerprintStart = performance.now();
  sourceFingerprint(source);
  const fingerprintEnd = performance.now();
  epochs(source.count, 1024, 0).slotsOf(0);
  const orderEnd = performance.now();
  console.log(
    `${what}: ${source.count} images, ${((opened - start) / 1e3).toFixed(2)} s ` +
      `(${((opened - start) / shards).toFixed(1)} ms a shard), ${mebibytes(retained)} MiB retained ` +
      `(${(retained / source.count).toFixed(0)} bytes an image), peak of the process until now ${mebibytes(process.resourceUsage().maxRSS * 1024)} MiB; ` +
      `fingerprint ${((fingerprintEnd - fingerprintStart) / 1e3).toFixed(2)} s, an epoch's order ${((orderEnd - fingerprintEnd) / 1e3).toFixed(2)} s`,
  );
  await source.close();
}
