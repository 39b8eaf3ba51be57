import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, credentials } from '@grpc/grpc-js';
import { treePids } from '../../src/bench/processCpu.js';
import { createClient } from '../../src/client/index.js';
import { stream } from '../../src/tensor/random.js';
import { longTests } from '../support/longTests.js';
import type { Maker } from '../support/malformed/malformedCase.js';
import { sendRaw } from '../support/malformed/sendRaw.js';
import { malformedCases, malformedInferenceCases, realBombs } from '../support/malformed.js';
import { type ServedProcess, startServedProcessIn } from '../support/servedProcess.js';
import { settle, settlingEnvironment } from '../support/settledMemory.js';
import { withTinyModel } from '../support/tinyModel.js';

/** Requests that are invalid, unusual or random bytes, from one seed, against the service in its own process. */

const CASES = longTests ? 10_000 : 1500;
const INFERENCE_CASES = longTests ? 10_000 : 750;
const CONCURRENCY = 48;
/** The queue holds all concurrent requests, so that "queue full" does not hide the status that is tested. */
const flags = ['--queue-reductions', String(CONCURRENCY), '--queue-matches', String(CONCURRENCY)];
const SEED = 5;
/**
 * Limit of the growth of the process over the second half of the cases, after garbage collection: memory that its allocator
 * retains. The soak test finds slow leaks.
 */
const GROWTH_BYTES = 40e6;
/** Kinds of which some must be answered and some rejected: the damage must be neither too large nor too small. */
const MIXED = [
  ...['damaged JPEG', 'damaged message', 'crops at random', 'sizes at random', 'damaged mask PNG'],
  ...['boxes at random', 'cells at random', 'stages at random', 'components at random', 'small answers'],
];

/** The same for the Open Inference Protocol. */
const MIXED_INFERENCE = ['damaged file', 'any parameters', 'damaged message', 'pixels of any length'].map(
  (kind) => `ModelInfer: ${kind}`,
);

/** The same for the worker: its arena grows with the largest image that it has seen. */
const WORKER_GROWTH_BYTES = 40e6;
/** Limit of additional open descriptors: some libraries open files at their first use. */
const SPARE_DESCRIPTORS = 8;
const DEADLINE_MS = 20_000;

/** Open file descriptors of the service and its workers. */
async function descriptors({ child }: ServedProcess): Promise<number> {
  const counts = (await treePids(child.pid!)).map(async (pid) => (await readdir(`/proc/${pid}/fd`)).length);
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

/** Waits until a number falls to a limit: connections close after the last answer. */
async function fallsTo(most: number, measure: () => Promise<number>, what: string): Promise<number> {
  for (const end = Date.now() + DEADLINE_MS; ; await delay(50)) {
    const found = await measure();
    if (found <= most) return found;
    assert.ok(Date.now() < end, `${what}: ${found}, and at most ${most} should be left`);
  }
}

async function metric({ metricsAddress }: ServedProcess, name: RegExp): Promise<number> {
  const text = await (await fetch(`http://${metricsAddress}/metrics`)).text();
  const values = [...text.matchAll(new RegExp(`^${name.source}(?:\\{.*\\})? (\\S+)$`, 'gm'))];
  assert.ok(values.length > 0, `no ${name.source} among the metrics`);
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}

/** Sends cases, several at a time, and collects the answers. */
function createSender(channel: Client, makers: readonly Maker[]) {
  /** Numbers of answers by kind and status. */
  const answers = new Map<string, Map<string, number>>();
  const wrong: string[] = [];
  let next = 0;
  const loop = async (end: number): Promise<void> => {
    while (next < end) {
      const i = next++;
      const random = stream(SEED, 'malformed', i);
      const made = makers[i % makers.length]!(random);
      const { code, details } = await sendRaw(channel, made);
      if (!made.allowed.includes(code)) wrong.push(`case ${i}, ${made.kind}, ${made.method}: ${code}, ${details}`);
      const counts = answers.get(made.kind) ?? new Map<string, number>();
      answers.set(made.kind, counts.set(code, (counts.get(code) ?? 0) + 1));
    }
  };
  return {
    upTo: (end: number) => Promise.all(Array.from({ length: CONCURRENCY }, () => loop(end))),
    /** @param mixed kinds of which some must be answered and some rejected */
    check(t: TestContext, mixed: readonly string[]): void {
      assert.deepEqual(wrong.slice(0, 10), [], `${wrong.length} answers are wrong`);
      for (const [kind, counts] of answers) {
        t.diagnostic(`${kind}: ${[...counts].map(([code, count]) => `${count} ${code}`).join(', ')}`);
      }
      // A quarter of the cases may have too few of a kind.
      for (const kind of longTests ? mixed : []) {
        assert.deepEqual([...answers.get(kind)!.keys()].includes('OK') && answers.get(kind)!.size > 1, true, kind);
      }
    },
  };
}

describe('malformed requests and images', () => {
  let model: Awaited<ReturnType<typeof withTinyModel>>;
  let served: ServedProcess;
  before(async () => {
    model = await withTinyModel();
    const environment = settlingEnvironment();
    served = await startServedProcessIn(environment, '--model', model.folder.dir, '--log-level', 'info', ...flags);
  });
  after(async () => {
    served.child.kill('SIGKILL');
    await model.remove();
  });

  test('a highly compressed PNG with almost the maximum number of pixels is answered by every method', async () => {
    const channel = new Client(served.address, credentials.createInsecure());
    for (const bomb of realBombs()) {
      const { code, details } = await sendRaw(channel, bomb);
      assert.ok(bomb.allowed.includes(code), `${bomb.method}: ${code}, ${details}`);
    }
    channel.close();
  });

  test(`${CASES} of them: correct status codes, no crash, no leak`, async (t) => {
    const open = await descriptors(served);
    const channel = new Client(served.address, credentials.createInsecure());
    const { upTo, check } = createSender(channel, await malformedCases());
    const resident = async () => {
      await settle(served.child.pid!);
      return {
        service: await metric(served, /process_resident_memory_bytes/),
        worker: await metric(served, /vicregl_worker_resident_memory_bytes/),
      };
    };
    await upTo(CASES / 2);
    const half = await resident();
    await upTo(CASES);
    channel.close();

    check(t, MIXED);
    assert.equal(served.child.exitCode, null);
    // The last calls are closed only after the caller has seen their status.
    for (const gauge of [
      /vicregl_requests_in_flight/,
      /vicregl_queue_images/,
      /vicregl_held_\w+_bytes/,
      /vicregl_held_map_bytes/,
    ]) {
      await fallsTo(0, () => metric(served, gauge), gauge.source);
    }
    const whole = await resident();
    const grown = whole.service - half.service;
    assert.ok(grown < GROWTH_BYTES, `the process grew by ${grown} bytes`);
    const grownWorker = whole.worker - half.worker;
    assert.ok(grownWorker < WORKER_GROWTH_BYTES, `the worker grew by ${grownWorker} bytes`);
    t.diagnostic(
      `resident memory over the second half: ${(grown / 1e6).toFixed(1)} MB, the worker's ${(grownWorker / 1e6).toFixed(1)} MB`,
    );
    const left = await fallsTo(open + SPARE_DESCRIPTORS, () => descriptors(served), 'open file descriptors');
    t.diagnostic(`open file descriptors: ${open} before, ${left} after`);
  });

  test(`${INFERENCE_CASES} of the Open Inference Protocol: correct status codes, no crash`, async (t) => {
    const channel = new Client(served.address, credentials.createInsecure());
    const { upTo, check } = createSender(channel, await malformedInferenceCases());
    await upTo(INFERENCE_CASES);
    channel.close();
    check(t, MIXED_INFERENCE);
    assert.equal(served.child.exitCode, null);
    for (const gauge of [/vicregl_requests_in_flight/, /vicregl_queue_images/, /vicregl_held_\w+_bytes/]) {
      await fallsTo(0, () => metric(served, gauge), gauge.source);
    }
    assert.equal(await metric(served, /vicregl_worker_restarts_total/), 0);
  });

  test('afterwards the service answers as before, and exits on SIGTERM', async () => {
    const client = createClient({ address: served.address });
    const { vector } = await client.embed({ width: 8, height: 8, rgb: new Uint8Array(192).fill(99) });
    assert.equal(vector.length, 16);
    await client.close();
    served.child.kill('SIGTERM');
    assert.deepEqual(await once(served.child, 'exit'), [0, null]);
  });
});
