/**
 * The service at twice its capacity. Capacity is the rate of a closed loop that keeps it busy; then calls come at random
 * times at 2x that rate. Targets: goodput >= 0.95 of the capacity, and the p99 of what is accepted is bounded by the
 * queue: what waits before a call is at most --queue-images images.
 *
 *   node dist/scripts/bench/serviceOverload.js [--model DIR] [--queue-images 32] [--seconds 5] [-- FLAGS OF SERVE]
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bench } from '../../src/bench/bench.js';
import { madePictures } from '../../src/bench/pictures.js';
import { startService } from '../../src/bench/serviceProcess.js';

const { values, positionals: serveFlags } = parseArgs({
  allowPositionals: true,
  options: {
    model: {
      type: 'string',
      default: fileURLToPath(new URL('../../../models/vicregl-convnext-atto', import.meta.url)),
    },
    'queue-images': { type: 'string', default: '32' },
    seconds: { type: 'string', default: '5' },
  },
});
const rounded = (value: number) => Number(value.toPrecision(3));
const queueImages = Number(values['queue-images']);
const service = await startService([
  ...['--model', values.model, '--queue-images', String(queueImages), '--log-level', 'info'],
  ...serveFlags,
]);
try {
  const plan = {
    target: {
      address: service.address,
      method: 'Embed',
      images: await madePictures(),
      deadlineMs: 60_000,
      // One carries 128 calls at a time; more would wait in the generator.
      connections: 8,
    },
    lengths: { ramp: 1, seconds: Number(values.seconds) },
    maxWindows: 3,
    progress: (text: string) => console.error(text),
  } as const;
  const measure = async (load: Parameters<typeof bench>[0]['loads'][number]) =>
    (await bench({ ...plan, loads: [load] }))[0]!;
  // Before and after, so that other work on the machine disturbs both alike.
  const before = await measure({ kind: 'closed', concurrency: 16 });
  const overload = await measure({ kind: 'open', rate: 2 * before.requestsPerSecond, seed: 1 });
  const after = await measure({ kind: 'closed', concurrency: 16 });
  const capacity = Math.max(before.requestsPerSecond, after.requestsPerSecond);
  const wait = (queueImages / capacity) * 1e3;
  const goodput = overload.requestsPerSecond / capacity;
  console.log(
    JSON.stringify(
      {
        capacity: [before.requestsPerSecond, after.requestsPerSecond].map(rounded),
        offered: rounded(2 * before.requestsPerSecond),
        overload,
        goodputOfCapacity: rounded(goodput),
        target: 0.95,
        met: goodput >= 0.95,
        // Both queues, before decoding and before the engine, may be full.
        boundMs: rounded(2 * wait),
        p99OfBound: rounded(overload.latencyMs.p99 / (2 * wait)),
      },
      null,
      1,
    ),
  );
} finally {
  await service.stop();
}
