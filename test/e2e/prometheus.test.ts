import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { serviceDashboard } from '../../scripts/deploy/dashboard.js';
import { createClient } from '../../src/client/index.js';
import { skipWithout } from '../support/prometheusProgram.js';
import { type ServedProcess, startServedProcessIn } from '../support/servedProcess.js';
import { withTinyModel } from '../support/tinyModel.js';

/** The scrape configuration and alert rules of deploy/ in a real Prometheus that scrapes a real service. */

const skip = skipWithout('prometheus');
const deploy = (name: string) => new URL(`../../../deploy/${name}`, import.meta.url);
const DEADLINE_MS = 60_000;

interface Rule {
  readonly name: string;
  readonly type: 'alerting' | 'recording';
  readonly health: string;
  readonly lastError?: string;
  /** Of an alert. */
  readonly state?: string;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** Repeats a query until its answer satisfies a condition. */
async function eventually<T>(ask: () => Promise<T | undefined>, what: string): Promise<T> {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    const found = await ask().catch(() => undefined);
    if (found !== undefined) return found;
    assert.ok(Date.now() < end, `${what}: not within ${DEADLINE_MS} ms`);
    await delay(100);
  }
}

interface Panel {
  readonly title?: string;
  readonly targets?: readonly { readonly expr: string }[];
  readonly panels?: readonly Panel[];
}

/** The panels of a dashboard, also those inside rows. */
const panelsOf = ({ panels }: { readonly panels?: unknown }): Panel[] =>
  ((panels ?? []) as Panel[]).flatMap((panel) => [panel, ...panelsOf(panel)]);

describe('Prometheus with deploy/prometheus.yml', { skip }, () => {
  let scratch: string;
  let model: Awaited<ReturnType<typeof withTinyModel>>;
  let served: ServedProcess;
  let prometheus: ChildProcess;
  let url: string;

  const api = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${url}/api/v1/${path}`);
    return ((await response.json()) as { data: T }).data;
  };
  const query = async (expression: string): Promise<number | undefined> => {
    const { result } = await api<{ result: { value: [number, string] }[] }>(
      `query?query=${encodeURIComponent(expression)}`,
    );
    return result[0] && Number(result[0].value[1]);
  };
  const rules = async (): Promise<Rule[]> =>
    (await api<{ groups: { rules: Rule[] }[] }>('rules')).groups.flatMap((group) => group.rules);

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-prometheus-'));
    model = await withTinyModel();
    // Calls are traced, for exemplars; nobody receives the spans.
    served = await startServedProcessIn({ OTEL_TRACES_EXPORTER: 'otlp' }, '--model', model.folder.dir);
    // The real files with another address and shorter times, because a test cannot wait minutes.
    const config = parse(await readFile(deploy('prometheus.yml'), 'utf8'));
    const [job] = config.scrape_configs;
    job.scrape_interval = '1s';
    job.scrape_timeout = '1s';
    job.static_configs = [{ targets: [served.metricsAddress] }];
    config.global = { evaluation_interval: '1s' };
    for (const file of config.rule_files) {
      const found = parse(await readFile(deploy(file), 'utf8'));
      for (const group of found.groups) for (const rule of group.rules) delete rule.for;
      await writeFile(join(scratch, file), stringify(found));
    }
    await writeFile(join(scratch, 'prometheus.yml'), stringify(config));
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    prometheus = spawn(
      'prometheus',
      [
        ...['--config.file', join(scratch, 'prometheus.yml'), '--storage.tsdb.path', join(scratch, 'data')],
        ...['--web.listen-address', `127.0.0.1:${port}`, '--log.level', 'error'],
        '--enable-feature=exemplar-storage',
      ],
      { stdio: 'inherit' },
    );
    await eventually(async () => ((await fetch(`${url}/-/ready`)).ok ? true : undefined), 'Prometheus is ready');
  });
  after(async () => {
    for (const child of [prometheus, served?.child]) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    }
    await model.remove();
    await rm(scratch, { recursive: true });
  });

  test('scrapes the service: the calls of clients appear in the metrics', async () => {
    const client = createClient({ address: served.address });
    for (let i = 0; i < 3; i++) await client.embed({ width: 8, height: 8, rgb: new Uint8Array(192) });
    await client.close();
    assert.equal(await eventually(() => query('up{job="vicregl"} == 1'), 'the target is up'), 1);
    const total = 'vicregl_requests_total{method="Embed",code="OK"} >= 3';
    assert.equal(await eventually(() => query(total), 'the requests are counted'), 3);
  });

  test('evaluates every rule, and no alert fires while the service is healthy', async () => {
    const evaluated = await eventually(async () => {
      const found = await rules();
      return found.length > 0 && found.every(({ health }) => health !== 'unknown') ? found : undefined;
    }, 'the rules are evaluated');
    for (const { name, type, health, lastError, state } of evaluated) {
      assert.equal(health, 'ok', `${name}: ${lastError}`);
      if (type === 'alerting') assert.equal(state, 'inactive', name);
    }
  });

  test('every expression of the Grafana dashboard returns data for a service under load', async () => {
    const client = createClient({ address: served.address });
    const pixels = { width: 8, height: 8, rgb: new Uint8Array(192) };
    let loading = true;
    // Successful calls, items and HTTP requests, and each kind of failure that the dashboard counts.
    const load = async (): Promise<void> => {
      for (let deadlineMs = 1; loading; deadlineMs = (deadlineMs % 40) + 1) {
        await client.embed(pixels);
        await client.match(pixels, pixels);
        await client.embed(new Uint8Array(9)).catch(() => undefined);
        await client.embedBatch([pixels, new Uint8Array(9)]);
        // Deadlines that pass at various points of a call.
        await client.embed(pixels, { deadlineMs }).catch(() => undefined);
        await client.embedBatch(Array(32).fill(pixels), { deadlineMs }).catch(() => undefined);
        await fetch(`http://${served.httpAddress}/v1/info`);
        await delay(20);
      }
    };
    const loaded = load();
    try {
      const expressions = panelsOf(serviceDashboard()).flatMap(({ title, targets }) =>
        (targets ?? []).map(({ expr }) => ({ title, expr })),
      );
      assert.ok(expressions.length > 40);
      for (const { title, expr } of expressions) {
        const asked = expr
          .replaceAll('$__rate_interval', '30s')
          .replaceAll('$job', 'vicregl')
          .replaceAll('$instance', '.*');
        assert.doesNotMatch(asked, /\$/);
        const value = await eventually(async () => {
          const found = await query(asked);
          return found === undefined || Number.isNaN(found) ? undefined : found;
        }, `${title}: ${asked} has data`);
        assert.ok(Number.isFinite(value), `${title}: ${asked} = ${value}`);
      }
    } finally {
      loading = false;
      await loaded;
      await client.close();
    }
  });

  test('stores the trace of a call as an exemplar of its latency', async () => {
    const client = createClient({ address: served.address });
    await client.embed({ width: 56, height: 56, rgb: new Uint8Array(56 * 56 * 3) });
    await client.close();
    const range = `start=${Date.now() / 1000 - 600}&end=${Date.now() / 1000 + 600}`;
    const labels = await eventually(async () => {
      const found = await api<{ exemplars: { labels: Record<string, string> }[] }[]>(
        `query_exemplars?query=vicregl_request_duration_seconds_bucket&${range}`,
      );
      return found[0]?.exemplars[0]?.labels;
    }, 'an exemplar is scraped');
    assert.match(labels['trace_id'] ?? '', /^[0-9a-f]{32}$/);
    assert.match(labels['span_id'] ?? '', /^[0-9a-f]{16}$/);
  });

  test('fires VicreglDown when the service is killed', async () => {
    const exited = once(served.child, 'exit');
    served.child.kill('SIGKILL');
    await exited;
    const firing = async () => (await rules()).find(({ name, state }) => name === 'VicreglDown' && state === 'firing');
    await eventually(firing, 'VicreglDown fires');
  });
});
