import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { Client, credentials, status } from '@grpc/grpc-js';
import { createClient } from '../../src/client/index.js';
import { stream } from '../../src/tensor/random.js';
import { type MalformedCase, malformedCases } from '../support/malformed.js';
import { type ServedProcess, startServedProcess } from '../support/servedProcess.js';
import { withTinyModel } from '../support/tinyModel.js';

/** 10,000 requests that are wrong, odd or garbage, of one seed, against the service in a process of its own. */

const CASES = 10_000;
const CONCURRENCY = 48;
const SEED = 5;
/** Most that the process may grow over the second half of the cases: garbage that Node has not collected yet. A slow leak is the soak's to find. */
const GROWTH_BYTES = 80e6;

const pass = (bytes: Buffer): Buffer => bytes;

async function metric({ metricsAddress }: ServedProcess, name: RegExp): Promise<number> {
  const text = await (await fetch(`http://${metricsAddress}/metrics`)).text();
  const values = [...text.matchAll(new RegExp(`^${name.source}(?:\\{.*\\})? (\\S+)$`, 'gm'))];
  assert.ok(values.length > 0, `no ${name.source} among the metrics`);
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}

describe('malformed requests and images', () => {
  let model: Awaited<ReturnType<typeof withTinyModel>>;
  let served: ServedProcess;
  before(async () => {
    model = await withTinyModel();
    served = await startServedProcess('--model', model.folder.dir, '--log-level', 'info');
  });
  after(async () => {
    served.child.kill('SIGKILL');
    await model.remove();
  });

  test(`${CASES} of them: the right codes, no crash, nothing leaked`, async (t) => {
    const channel = new Client(served.address, credentials.createInsecure());
    const makers = await malformedCases();
    const send = ({ method, bytes }: MalformedCase) =>
      new Promise<{ code: string; details: string }>((resolve) => {
        channel
          .makeUnaryRequest(`/vicregl.v1.VicreglService/${method}`, pass, pass, bytes, () => {})
          .on('status', ({ code, details }) => resolve({ code: status[code]!, details }));
      });
    const answers = new Map<string, Map<string, number>>();
    const wrong: string[] = [];
    let resident = 0;
    let next = 0;
    const loop = async (): Promise<void> => {
      for (let i = next++; i < CASES; i = next++) {
        if (i === CASES / 2) resident = await metric(served, /process_resident_memory_bytes/);
        const random = stream(SEED, 'malformed', i);
        const made = makers[i % makers.length]!(random);
        const { code, details } = await send(made);
        if (!made.allowed.includes(code)) wrong.push(`case ${i}, ${made.kind}: ${code}, ${details}`);
        const counts = answers.get(made.kind) ?? new Map<string, number>();
        answers.set(made.kind, counts.set(code, (counts.get(code) ?? 0) + 1));
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, loop));
    channel.close();

    assert.deepEqual(wrong.slice(0, 10), [], `${wrong.length} answers are wrong`);
    for (const [kind, counts] of answers) {
      t.diagnostic(`${kind}: ${[...counts].map(([code, count]) => `${count} ${code}`).join(', ')}`);
    }
    // Damage must not be so gross that nothing gets through, nor so slight that all does.
    for (const kind of ['damaged JPEG', 'damaged message', 'crops at random', 'sizes at random']) {
      assert.deepEqual([...answers.get(kind)!.keys()].includes('OK') && answers.get(kind)!.size > 1, true, kind);
    }
    assert.equal(served.child.exitCode, null);
    assert.equal(await metric(served, /vicregl_requests_in_flight/), 0);
    assert.equal(await metric(served, /vicregl_queue_images/), 0);
    const grown = (await metric(served, /process_resident_memory_bytes/)) - resident;
    assert.ok(grown < GROWTH_BYTES, `the process grew by ${grown} bytes`);
    t.diagnostic(`resident memory over the second half: ${(grown / 1e6).toFixed(1)} MB`);
  });

  test('and after them the service answers as before, and ends when told to', async () => {
    const client = createClient({ address: served.address });
    const { vector } = await client.embed({ width: 8, height: 8, rgb: new Uint8Array(192).fill(99) });
    assert.equal(vector.length, 16);
    await client.close();
    served.child.kill('SIGTERM');
    assert.deepEqual(await once(served.child, 'exit'), [0, null]);
  });
});
