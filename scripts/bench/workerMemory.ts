/**
 * Measures how much memory a worker retains after one large input: the resident memory of worker and service after images of
 * the usual size, after a single larger one, and again after images of the usual size.
 *
 *   node dist/scripts/bench/workerMemory.js [--side 2048] [--model DIR]
 */
import { parseArgs } from 'node:util';
import { madePictures } from '../../src/bench/pictures.js';
import { startService } from '../../src/bench/serviceProcess.js';
import { createClient } from '../../src/client/index.js';

const { values } = parseArgs({
  options: { side: { type: 'string', default: '2048' }, model: { type: 'string' } },
});
const MiB = 2 ** 20;
/** Number of images of the usual size before a measurement. */
const USUAL = 20;
const side = Number(values.side);

const { address, metricsAddress, stop } = await startService(
  values.model === undefined ? [] : ['--model', values.model],
);
const client = createClient({ address, deadlineMs: 120_000 });
const [usual, large] = (await Promise.all([madePictures(256, 256, 1), madePictures(side, side, 1)])).flat() as [
  Buffer,
  Buffer,
];

/** Resident MiB of the worker at its last answer, and of the service's main process. */
async function memory(when: string): Promise<Record<string, string | number>> {
  const text = await (await fetch(`http://${metricsAddress}/metrics`)).text();
  const read = (line: RegExp): number => Math.round(Number(line.exec(text)?.[1]) / MiB);
  return {
    when,
    worker: read(/^vicregl_worker_resident_memory_bytes\{.*\} (\S+)$/m),
    service: read(/^process_resident_memory_bytes (\S+)$/m),
  };
}

async function embedUsual(): Promise<void> {
  for (let i = 0; i < USUAL; i++) await client.embed(usual);
}

await embedUsual();
const rows = [await memory(`after ${USUAL} images of the usual size`)];
await client.embed({ pixels: large, resize: { kind: 'fit', width: side, height: side } });
rows.push(await memory(`after one of ${side} x ${side}`));
await embedUsual();
rows.push(await memory(`after ${USUAL} more of the usual size`));
await client.close();
await stop();
console.table(rows);
