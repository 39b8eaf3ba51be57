/**
 * Measures how the memory of `vicregl extract` grows with the images it has read: the resident memory of the command and its inference workers, read
 * every second, after the first part of the images (allocators and V8 take their memory then).
 *
 *   node dist/scripts/bench/extractMemory.js --source SRC [--part 1000] [-- FLAGS OF EXTRACT]
 *
 * SRC is what `extract --source` takes, of some 10,000 images. Prints the median of each part of so many images, and the growth in MB a minute and
 * in MB per 1,000 images. Fails where it is 1 MB a minute or more.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { type MemorySample, mbPerMinute } from '../../src/bench/growth.js';
import { machineName } from '../../src/bench/machine.js';
import { median } from '../../src/bench/quantile.js';
import { residentMb } from '../../test/support/settledMemory.js';

const MAX_MB_PER_MINUTE = 1;
const READ_EVERY_MS = 1000;

const { values, positionals: flags } = parseArgs({
  allowPositionals: true,
  options: { source: { type: 'string' }, part: { type: 'string', default: '1000' } },
});
if (values.source === undefined) throw new Error('--source SRC: images, as `vicregl extract` takes them');
const part = Number(values.part);

const scratch = await mkdtemp(join(tmpdir(), 'vicregl-extract-memory-'));
try {
  const args = ['extract', '--source', values.source, '--out', join(scratch, 'out'), '--local', ...flags];
  const child = spawn(process.execPath, ['bin/vicregl.js', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  let done = 0;
  const start = performance.now();
  const samples: (MemorySample & { readonly done: number })[] = [];
  const reading = setInterval(() => {
    const minute = (performance.now() - start) / 60e3;
    void residentMb(child.pid!).then((mb) => mb > 0 && samples.push({ minute, mb, done }));
  }, READ_EVERY_MS);
  // Progress is lines of JSON, as the output is no terminal; other lines are notes.
  for await (const line of createInterface({ input: child.stderr })) {
    const entry = line.startsWith('{') ? (JSON.parse(line) as { event?: string; done?: number }) : {};
    if (entry.event === 'progress') done = entry.done!;
    else console.error(line);
  }
  await exited;
  clearInterval(reading);
  if (child.exitCode !== 0) throw new Error(`extract ended with exit code ${child.exitCode}`);
  // The last samples may be of processes that end.
  const settled = samples.filter((sample) => sample.done >= part && sample.done < done);
  if (settled.length < 2) throw new Error(`${values.source}: ${done} images are too few for parts of ${part}`);
  const minutes = settled.at(-1)!.minute - settled[0]!.minute;
  const growth = mbPerMinute(settled);
  const parts = Array.from({ length: Math.ceil(done / part) }, (_, i) =>
    samples.filter((sample) => Math.floor(sample.done / part) === i),
  );
  const rounded = (value: number) => Number(value.toPrecision(3));
  console.log(
    JSON.stringify(
      {
        machine: machineName(),
        images: done,
        minutes: rounded(minutes),
        mbOfParts: parts.filter((of) => of.length > 0).map((of) => Math.round(median(of.map(({ mb }) => mb)))),
        mbPerMinute: rounded(growth),
        mbPer1000Images: rounded((growth * minutes * 1000) / (settled.at(-1)!.done - settled[0]!.done)),
        passed: growth < MAX_MB_PER_MINUTE,
      },
      null,
      1,
    ),
  );
  if (!(growth < MAX_MB_PER_MINUTE)) process.exitCode = 1;
} finally {
  await rm(scratch, { recursive: true, force: true });
}
