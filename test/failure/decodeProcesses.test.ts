import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, createClient, VicreglError } from '../../src/client/index.js';
import { checkHealth } from '../e2e/grpcProbe.js';
import { failsWith } from '../support/failsWith.js';
import { long } from '../support/longTests.js';
import { type ServedProcess, startServedProcess } from '../support/servedProcess.js';
import { withTinyModel } from '../support/tinyModel.js';
import { untilMetric } from '../support/untilMetric.js';

/** The real service, whose decode processes crash, hang and are killed while they decode an image. */

const bounded = { timeout: 120_000 };

const photo = await readFile(new URL('../../../test/fixtures/photos/coffee.jpg', import.meta.url));

/** Decode processes of a service, found by their title. A process that has just started does not have it yet. */
function decodersOf({ child }: ServedProcess): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const parent = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
        return (
          Number(parent) === child.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('vicregl-decode')
        );
      } catch {
        return false;
      }
    });
}

/** Kills a stopped process, as a crash would. */
function crash(pid: number, signal: NodeJS.Signals): void {
  process.kill(pid, signal);
  // A stopped program handles other signals only when it continues.
  process.kill(pid, 'SIGCONT');
}

const metric = async ({ metricsAddress }: ServedProcess, name: string): Promise<number> => {
  const text = await (await fetch(`http://${metricsAddress}/metrics`)).text();
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.split(' ')[1],
  );
};

const restarts = (served: ServedProcess, reason: 'died' | 'hung'): Promise<number> =>
  metric(served, `vicregl_decode_process_restarts_total{reason="${reason}"}`);

const busy = ({ metricsAddress }: ServedProcess): Promise<void> =>
  untilMetric(metricsAddress, /^vicregl_decode_processes\{state="busy"\} 1$/m);

const allIdle = ({ metricsAddress }: ServedProcess, count: number): Promise<void> =>
  untilMetric(metricsAddress, new RegExp(`^vicregl_decode_processes\\{state="idle"\\} ${count}$`, 'm'));

describe('a service that decodes images in processes', () => {
  let model: Awaited<ReturnType<typeof withTinyModel>>;
  before(async () => {
    model = await withTinyModel();
  });
  after(() => model.remove());

  async function serve(t: TestContext, ...flags: string[]): Promise<{ served: ServedProcess; client: Client }> {
    const served = await startServedProcess('--model', model.folder.dir, '--threads', '1', ...flags);
    t.after(() => served.child.kill('SIGKILL'));
    const client = createClient({ address: served.address, deadlineMs: 20_000, retries: false });
    t.after(() => client.close());
    return { served, client };
  }

  test('continues when an image crashes one: only that call fails, and it is counted', bounded, async (t) => {
    const { served, client } = await serve(t, '--decode-processes', '1');
    const { vector } = await client.embed(photo);
    const [pid] = decodersOf(served);
    process.kill(pid!, 'SIGSTOP');
    const crashed = assert.rejects(
      client.embed(photo),
      failsWith(
        'INTERNAL',
        /^the decode process ended \(signal SIGSEGV\) while decoding this image; convert/,
        'DECODER_CRASHED',
      ),
    );
    await busy(served);
    // This call waits for the only process, and then gets its replacement.
    const other = client.embed(photo);
    crash(pid!, 'SIGSEGV');
    await crashed;
    assert.deepEqual((await other).vector, vector);
    assert.equal(await checkHealth(served.address), 'SERVING');
    assert.deepEqual([await restarts(served, 'died'), await restarts(served, 'hung')], [1, 0]);
    assert.equal(await metric(served, 'vicregl_requests_rejected_total{method="Embed",reason="DECODER_CRASHED"}'), 1);
    assert.equal(await metric(served, 'vicregl_requests_total{method="Embed",code="OK"}'), 2);
    assert.equal(await metric(served, 'vicregl_requests_total{method="Embed",code="INTERNAL"}'), 1);
  });

  test('loses only the images being decoded when processes are killed under load', {
    ...bounded,
    ...long,
  }, async (t) => {
    const { served, client } = await serve(t, '--decode-processes', '2');
    let on = true;
    let answered = 0;
    const failures: unknown[] = [];
    const callers = Array.from({ length: 6 }, async () => {
      while (on) {
        await client.embed(photo).then(
          () => answered++,
          (error: unknown) => failures.push(error),
        );
      }
    });
    const kills = 4;
    for (let kill = 1; kill <= kills; kill++) {
      const target = answered + 10;
      while (answered < target) await delay(5, undefined, { signal: t.signal });
      process.kill(decodersOf(served)[0]!, 'SIGKILL');
      while ((await restarts(served, 'died')) < kill) await delay(5, undefined, { signal: t.signal });
    }
    on = false;
    await Promise.all(callers);
    assert.ok(failures.length <= kills, `${failures.length} calls failed`);
    for (const error of failures) assert.ok(failsWith('UNAVAILABLE', /SIGKILL/, 'DECODER_UNAVAILABLE')(error));
    await allIdle(served, 2);
  });

  test(
    'kills a process that hangs after decodeSeconds, and one that works for a call that has ended',
    bounded,
    async (t) => {
      const { served, client } = await serve(t, '--decode-processes', '1', '--decode-seconds', '2');
      await client.embed(photo);
      process.kill(decodersOf(served)[0]!, 'SIGSTOP');
      await assert.rejects(
        client.embed(photo),
        failsWith('INVALID_ARGUMENT', /^image: image takes longer than 2 s.*\(decodeSeconds\)/, 'IMAGE_TOO_LARGE'),
      );
      await client.embed(photo);
      assert.equal(await restarts(served, 'hung'), 1);
      process.kill(decodersOf(served)[0]!, 'SIGSTOP');
      const hasty = createClient({ address: served.address, deadlineMs: 300 });
      t.after(() => hasty.close());
      await assert.rejects(
        hasty.embed(photo),
        (error) => error instanceof VicreglError && error.code === 'DEADLINE_EXCEEDED',
      );
      // The process still works, and so counts as busy, until it is killed.
      assert.equal(await metric(served, 'vicregl_decode_processes{state="busy"}'), 1);
      await untilMetric(served.metricsAddress, /^vicregl_decode_process_restarts_total\{reason="hung"\} 2$/m);
      assert.ok((await client.embed(photo)).vector.length > 0);
    },
  );

  test('leaves no decode process when it is killed', bounded, async (t) => {
    const { served } = await serve(t, '--decode-processes', '2');
    const pids = decodersOf(served);
    assert.equal(pids.length, 2);
    const exited = once(served.child, 'exit');
    served.child.kill('SIGKILL');
    await exited;
    const alive = (pid: number): boolean => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('vicregl-decode');
      } catch {
        return false;
      }
    };
    while (pids.some(alive)) await delay(5, undefined, { signal: t.signal });
  });

  test('with decodeProcesses 0 decodes in its own process', bounded, async (t) => {
    const { served, client } = await serve(t, '--decode-processes', '0');
    assert.ok((await client.embed(photo)).vector.length > 0);
    assert.deepEqual(decodersOf(served), []);
    served.child.kill('SIGTERM');
    assert.deepEqual(await once(served.child, 'exit'), [0, null]);
  });
});
