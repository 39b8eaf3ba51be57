/**
 * Time and memory of indexing WebDataset shards and a list, at ImageNet's size by default: 128 shards of 10,000 samples
 * (a .jpg of 110 KB, all holes, and a .cls), which are links to one file; and a list of as many lines.
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
const mebi = (bytes: number) => Math.round(bytes / 2 ** 20);

const root = await mkdtemp(join(tmpdir(), 'vicregl-index-'));
try {
  await mkdir(join(root, 'shards'));
  const file = await open(join(root, 'one.tar'), 'w');
  let offset = 0;
  const put = async (path: string, size: number, content?: string): Promise<void> => {
    const block = Buffer.alloc(512);
    new Header({ path, size, type: 'File', mode: 0o644, mtime: new Date(0) }).encode(block);
    await file.write(block, 0, 512, offset);
    if (content !== undefined) await file.write(Buffer.from(content), 0, size, offset + 512);
    offset += 512 + Math.ceil(size / 512) * 512;
  };
  for (let i = 0; i < samples; i++) {
    const key = `n01440764_${String(i).padStart(6, '0')}`;
    await put(`${key}.cls`, 3, String(100 + (i % 900)));
    await put(`${key}.jpg`, imageBytes);
  }
  await file.truncate(offset + 1024);
  await file.close();
  for (let s = 0; s < shards; s++) {
    await symlink('../one.tar', join(root, 'shards', `train-${String(s).padStart(6, '0')}.tar`));
  }
  console.log(`${shards} shards of ${samples} samples and ${(offset / 2 ** 30).toFixed(2)} GiB each`);
  await measure('walked, nothing kept', { keepShardsFrom: Number.POSITIVE_INFINITY });
  await measure('walked and kept', { keepShardsFrom: 0 });
  await measure('kept', {});

  await writeFile(join(root, 'a.jpg'), '');
  const lines = Array.from({ length: total }, (_, i) => `./${'/'.repeat(i % 7)}a.jpg,${i % 1000}`);
  await writeFile(join(root, 'list.csv'), `path,label\n${lines.join('\n')}\n`);
  lines.length = 0;
  await report(`list of ${total} lines, the presence of each file checked`, () =>
    openImageSource(join(root, 'list.csv'), { labels: 'given' }),
  );
} finally {
  await rm(root, { recursive: true });
}

/** Shared memory is given back a collection after its last view. */
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

/** Opens a source and says what it took: bytes that stay are those after a collection of garbage. */
async function report(what: string, openSource: () => ReturnType<typeof openImageSource>): Promise<void> {
  await collect();
  const before = process.memoryUsage();
  const start = performance.now();
  const source = await openSource();
  const opened = performance.now();
  await collect();
  const after = process.memoryUsage();
  const kept = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
  const named = performance.now();
  sourceFingerprint(source);
  const printed = performance.now();
  epochs(source.count, 1024, 0).slotsOf(0);
  const shuffled = performance.now();
  console.log(
    `${what}: ${source.count} images, ${((opened - start) / 1e3).toFixed(2)} s ` +
      `(${((opened - start) / shards).toFixed(1)} ms a shard), ${mebi(kept)} MiB stay ` +
      `(${(kept / source.count).toFixed(0)} bytes an image), peak of the process so far ${mebi(process.resourceUsage().maxRSS * 1024)} MiB; ` +
      `fingerprint ${((printed - named) / 1e3).toFixed(2)} s, an epoch's order ${((shuffled - printed) / 1e3).toFixed(2)} s`,
  );
  await source.close();
}
