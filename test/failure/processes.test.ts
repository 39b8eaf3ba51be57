import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient, VicreglError } from '../../src/client/index.js';
import { writeModelFolder } from '../../src/models/folder.js';
import { checkHealth, watchHealth } from '../e2e/grpcProbe.js';
import { breakingRuntime } from '../support/breakingRuntime.js';
import { long } from '../support/longTests.js';
import { type ServedProcess, startServedProcess, startServedProcessIn } from '../support/servedProcess.js';
import { tinyModelFiles, withTinyModel } from '../support/tinyModel.js';
import { untilMetric } from '../support/untilMetric.js';

/** The real process under load, while its workers are killed, its models are reloaded, and it is stopped. */

/** Time limit of the waits in each test. */
const bounded = { timeout: 120_000 };

const image = { width: 64, height: 64, rgb: new Uint8Array(64 * 64 * 3).fill(90) };

/** Its inference workers: its child processes except the decode processes. */
function workersOf({ child }: ServedProcess): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const parent = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
        return Number(parent) === child.pid && /onnxWorker/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
      } catch {
        return false;
      }
    });
}

/** Number of workers that were replaced so far, from the metrics. */
async function restarts({ metricsAddress }: ServedProcess, reason: 'died' | 'hung' | 'broken'): Promise<number> {
  const metrics = await (await fetch(`http://${metricsAddress}/metrics`)).text();
  return Number(new RegExp(`^vicregl_worker_restarts_total\\{.*reason="${reason}"\\} (\\d+)$`, 'm').exec(metrics)?.[1]);
}

/** Starts the service. It is stopped when the test fails, since it would keep the test process alive. */
async function serve(t: TestContext, ...flags: string[]): Promise<ServedProcess> {
  // The images are raw pixels, which need no decode process.
  const served = await startServedProcess('--decode-processes', '0', ...flags);
  t.after(() => served.child.kill('SIGKILL'));
  return served;
}

/** Waits until a condition holds, within the time limit of the test. */
async function until({ signal }: TestContext, holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await delay(10, undefined, { signal });
}

/** Pause of a caller between two requests, in milliseconds. Without it, the callers alone would take a processor. */
const PAUSE_MS = 5;

/** Callers that each send their next request a moment after the last one ended, until `stop` or the end of the test. */
function startLoad(t: TestContext, address: string, callers: number) {
  // Every failure is counted.
  const client = createClient({ address, deadlineMs: 20_000, retries: false });
  const failures: unknown[] = [];
  let answered = 0;
  let on = true;
  const caller = async (): Promise<void> => {
    while (on) {
      try {
        await client.embed(image);
        answered++;
      } catch (error) {
        failures.push(error);
      }
      await delay(PAUSE_MS);
    }
  };
  const running = Array.from({ length: callers }, caller);
  t.after(() => {
    on = false;
  });
  return {
    failures,
    get answered() {
      return answered;
    },
    /** Waits until the given number of further requests are answered. */
    async more(count: number): Promise<void> {
      const target = answered + count;
      await until(t, () => answered >= target);
    },
    async stop(): Promise<void> {
      on = false;
      await Promise.all(running);
      await client.close();
    },
  };
}

const codes = (failures: readonly unknown[]) =>
  new Set(failures.map((error) => (error instanceof VicreglError ? error.code : String(error))));

describe('the process under load', long, () => {
  let model: Awaited<ReturnType<typeof withTinyModel>>;
  before(async () => {
    model = await withTinyModel();
  });
  after(() => model.remove());

  test(
    'a worker killed by SIGKILL fails its own requests as UNAVAILABLE and is replaced; no request hangs',
    bounded,
    async (t) => {
      const served = await serve(t, '--model', model.folder.dir, '--workers', '2', '--threads', '1');
      const load = startLoad(t, served.address, 8);
      await load.more(20);
      const [victim, other] = workersOf(served);
      assert.ok(victim !== undefined && other !== undefined);
      process.kill(victim, 'SIGKILL');
      await load.more(20);
      assert.equal(await checkHealth(served.address), 'SERVING', 'one worker is left');
      await until(t, async () => (await restarts(served, 'died')) === 1);
      await load.more(20);
      // Both at the same time: the service has no worker for a moment, reports it, and recovers by itself.
      const watch = watchHealth(served.address);
      t.after(watch.end);
      await until(t, () => watch.seen.length === 1);
      for (const pid of workersOf(served)) process.kill(pid, 'SIGKILL');
      await until(t, () => watch.seen.length === 3);
      assert.deepEqual(watch.seen, ['SERVING', 'NOT_SERVING', 'SERVING']);
      await load.more(20);
      await load.stop();
      for (const code of codes(load.failures)) assert.equal(code, 'UNAVAILABLE');
      watch.end();
      served.child.kill('SIGTERM');
      assert.deepEqual(await once(served.child, 'exit'), [0, null]);
    },
  );

  test(
    'a worker that hangs is killed after runSeconds: its run fails as UNAVAILABLE, the others are answered',
    bounded,
    async (t) => {
      const flags = ['--workers', '2', '--threads', '1', '--run-seconds', '1'];
      const served = await serve(t, '--model', model.folder.dir, ...flags);
      const load = startLoad(t, served.address, 8);
      await load.more(20);
      const [victim] = workersOf(served);
      process.kill(victim!, 'SIGSTOP');
      // Under this load, the worker was in a run or gets the next one.
      await until(t, () => load.failures.length > 0);
      assert.equal(await checkHealth(served.address), 'SERVING', 'one worker is left');
      await until(t, async () => (await restarts(served, 'hung')) === 1);
      await load.more(20);
      await load.stop();
      assert.deepEqual([await restarts(served, 'hung'), await restarts(served, 'died')], [1, 0]);
      for (const error of load.failures) {
        assert.ok(error instanceof VicreglError && error.code === 'UNAVAILABLE', String(error));
        assert.match(error.message, /^inference took longer than 1 s \(runSeconds\), and its worker was killed/);
      }
      served.child.kill('SIGTERM');
      assert.deepEqual(await once(served.child, 'exit'), [0, null]);
    },
  );

  test(
    'a worker whose runtime is broken is replaced: its run fails as INTERNAL, and the service recovers',
    bounded,
    async (t) => {
      const flags = ['--model', model.folder.dir, '--threads', '1'];
      const served = await startServedProcessIn(breakingRuntime, ...flags);
      t.after(() => served.child.kill('SIGKILL'));
      const load = startLoad(t, served.address, 4);
      await load.more(20);
      const watch = watchHealth(served.address);
      t.after(watch.end);
      await until(t, () => watch.seen.length === 1);
      process.kill(workersOf(served)[0]!, 'SIGUSR2');
      await until(t, () => watch.seen.length === 3);
      assert.deepEqual(watch.seen, ['SERVING', 'NOT_SERVING', 'SERVING']);
      await load.more(20);
      await load.stop();
      assert.deepEqual([await restarts(served, 'broken'), await restarts(served, 'died')], [1, 0]);
      for (const code of codes(load.failures)) assert.equal(code, 'INTERNAL');
      served.child.kill('SIGTERM');
      assert.deepEqual(await once(served.child, 'exit'), [0, null]);
    },
  );

  test(
    'SIGTERM while a worker hangs: the process exits after the grace period, and the call fails as UNAVAILABLE',
    bounded,
    async (t) => {
      const served = await serve(t, '--model', model.folder.dir, '--threads', '1', '--drain-ms', '500');
      const load = startLoad(t, served.address, 2);
      await load.more(5);
      process.kill(workersOf(served)[0]!, 'SIGSTOP');
      await untilMetric(served.metricsAddress, /^vicregl_requests_in_flight\{method="Embed"\} 2$/m);
      const exited = once(served.child, 'exit');
      served.child.kill('SIGTERM');
      const stopped = load.stop();
      // Without the limit, the service would wait for the run until runSeconds: two minutes.
      const late = delay(60_000, 'late', { ref: false });
      assert.deepEqual(await Promise.race([exited, late]), [0, null]);
      await stopped;
      for (const code of codes(load.failures)) assert.match(code, /^UNAVAILABLE$/);
    },
  );

  test(
    'a worker lost after the weights were overwritten is not replaced by other weights: health reports it until a reload',
    bounded,
    async (t) => {
      const changing = await withTinyModel();
      t.after(() => changing.remove());
      const { dir } = changing.folder;
      const served = await serve(t, '--model', dir, '--workers', '2', '--threads', '1');
      let log = '';
      served.child.stdout!.on('data', (chunk: Buffer) => {
        log += chunk.toString();
      });
      const client = createClient({ address: served.address, deadlineMs: 20_000 });
      t.after(() => client.close());
      const ask = async (path: string) => {
        const answer = await fetch(`http://${served.metricsAddress}${path}`, { signal: t.signal });
        return { status: answer.status, text: await answer.text() };
      };
      const vector = async () => [...(await client.embed(image)).vector];
      const expected = await vector();
      const { featureRef } = await client.storeFeatures(image);

      // Another model with the same name and version and a valid manifest, as after a new export into the folder.
      const { manifest } = changing.folder;
      const { files: _, ...facts } = manifest;
      const others = tinyModelFiles(7);
      await writeModelFolder(dir, facts, others, { force: true });
      const [first, second] = workersOf(served);
      process.kill(first!, 'SIGKILL');
      await until(t, async () => /start_failures_total\{.*model_changed"\} [1-9]/.test((await ask('/metrics')).text));
      for (let i = 0; i < 8; i++) assert.deepEqual(await vector(), expected);
      assert.equal(await checkHealth(served.address), 'SERVING', 'one worker is left');
      const degraded = await ask('/readyz');
      assert.equal(degraded.status, 200);
      assert.match(degraded.text, /^ready\ntiny@1 lacks a worker: the files of the model have changed/);
      // Stored features belong to the weights that are still served.
      const { pairs } = await client.match({ featureRef }, image);
      assert.ok(pairs.length > 0);

      process.kill(second!, 'SIGKILL');
      const changed = /^not ready\ntiny@1 lacks a worker: the files of the model have changed/;
      await until(t, async () => changed.test((await ask('/readyz')).text));
      const down = await ask('/readyz');
      assert.equal(down.status, 503);
      assert.equal(await checkHealth(served.address), 'NOT_SERVING');
      await assert.rejects(vector(), (error: VicreglError) => {
        assert.equal(error.code, 'UNAVAILABLE');
        assert.match(error.message, /have changed since they were verified/);
        assert.ok(!error.message.includes(dir), error.message);
        return true;
      });
      assert.ok(!down.text.includes(dir));
      assert.match(log, new RegExp(`${dir}/backbone\\.onnx has sha256`));

      served.child.kill('SIGHUP');
      await until(t, async () => (await checkHealth(served.address)) === 'SERVING');
      assert.notDeepEqual(await vector(), expected);
      assert.deepEqual(await ask('/readyz'), { status: 200, text: 'ready\n' });
      await assert.rejects(client.match({ featureRef }, image), { code: 'NOT_FOUND' });
      served.child.kill('SIGTERM');
      assert.deepEqual(await once(served.child, 'exit'), [0, null]);
    },
  );

  test('SIGHUP reloads the model under load, and no request fails', bounded, async (t) => {
    const served = await serve(t, '--model', model.folder.dir, '--threads', '1');
    const load = startLoad(t, served.address, 6);
    await load.more(10);
    const [before] = workersOf(served);
    served.child.kill('SIGHUP');
    await until(t, () => !workersOf(served).includes(before!));
    await load.more(10);
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.equal(workersOf(served).length, 1);
    served.child.kill('SIGTERM');
    assert.deepEqual(await once(served.child, 'exit'), [0, null]);
  });

  test('an admin call reloads everything, or one model, under load, and no request fails', bounded, async (t) => {
    const served = await serve(t, '--model', model.folder.dir, '--threads', '1');
    const load = startLoad(t, served.address, 6);
    const reload = (query: string) =>
      fetch(`http://${served.adminAddress}/reload${query}`, { method: 'POST', signal: t.signal });
    await load.more(10);
    for (const query of ['', `?model=${model.folder.manifest.name}`]) {
      const [before] = workersOf(served);
      const answer = await reload(query);
      assert.equal(answer.status, 200, await answer.text());
      await until(t, () => !workersOf(served).includes(before!));
      await load.more(10);
    }
    const workers = workersOf(served);
    const unknown = await reload('?model=other');
    assert.equal(unknown.status, 404);
    assert.match(await unknown.text(), /"other" is not served here; use "tiny", "tiny@/);
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.deepEqual(workersOf(served), workers);
    served.child.kill('SIGTERM');
    assert.deepEqual(await once(served.child, 'exit'), [0, null]);
  });

  test(
    'SIGTERM under load: NOT_SERVING, calls are accepted during the drain delay, and every accepted call is answered',
    bounded,
    async (t) => {
      const flags = ['--threads', '1', '--drain-delay-ms', '300', '--log-level', 'debug'];
      const served = await serve(t, '--model', model.folder.dir, ...flags);
      const lines: { msg?: string; code?: string; method?: string }[] = [];
      let rest = '';
      served.child.stdout!.on('data', (chunk: Buffer) => {
        const parts = (rest + chunk.toString()).split('\n');
        rest = parts.pop()!;
        for (const line of parts) lines.push(JSON.parse(line));
      });
      const load = startLoad(t, served.address, 8);
      await load.more(20);
      // 'close' comes after 'exit', when all output has been read.
      const closed = once(served.child, 'close');
      served.child.kill('SIGTERM');
      await until(t, async () => (await checkHealth(served.address)) !== 'SERVING');
      await load.more(5);
      assert.deepEqual(load.failures, [], 'calls during the delay are answered');
      assert.deepEqual(await closed, [0, null]);
      await load.stop();
      const calls = lines.filter(({ method }) => method === 'Embed');
      assert.deepEqual(
        calls.filter(({ code }) => code !== 'OK'),
        [],
        'an accepted call was not answered',
      );
      // The log line is written before the bytes are sent.
      assert.equal(load.answered, calls.length, 'an answer was lost on its way');
      for (const code of codes(load.failures)) assert.equal(code, 'UNAVAILABLE');
    },
  );

  test(
    'SIGKILL of the service under load: every call fails as UNAVAILABLE, none hangs, and the workers exit',
    bounded,
    async (t) => {
      const served = await serve(t, '--model', model.folder.dir, '--workers', '2', '--threads', '1');
      const workers = workersOf(served);
      assert.equal(workers.length, 2);
      const callers = 8;
      const load = startLoad(t, served.address, callers);
      await load.more(20);
      const exited = once(served.child, 'exit');
      served.child.kill('SIGKILL');
      await exited;
      // Calls that wait for an answer, and retries of the callers that find no service.
      await until(t, () => load.failures.length >= 2 * callers);
      await load.stop();
      // A call that hangs would reach its deadline.
      assert.deepEqual([...codes(load.failures)], ['UNAVAILABLE']);
      const alive = (pid: number): boolean => {
        try {
          return /onnxWorker/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
        } catch {
          return false;
        }
      };
      await until(t, () => !workers.some(alive));
    },
  );
});
