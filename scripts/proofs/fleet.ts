/**
 * Replicas come and go under load: behind a name that dnsmasq answers, and behind HAProxy with deploy/haproxy.cfg; called by the
 * TypeScript client and by gRPC for Python. Prints a table in Markdown; docs/proofs/fleet.md holds the last one. Exits with 1 if a call
 * failed or a spread is uneven.
 *
 *   node dist/scripts/proofs/fleet.js            # as root, on Linux; Debian: dnsmasq-base haproxy python3-grpcio
 *   node dist/scripts/proofs/fleet.js -- --age 4 --only dns,typescript --json
 *
 * Clients and HAProxy see dnsmasq as the resolver of the machine: they run in a mount namespace with a resolv.conf of their own.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadVicreglService } from '../../src/proto/load.js';
import { withTinyModel } from '../../test/support/tinyModel.js';

const { values: flags } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== '--'),
  options: {
    /** connectionAgeSeconds of the replicas. */
    age: { type: 'string', default: '6' },
    /** Ways and clients, such as dns,typescript. Default: all. */
    only: { type: 'string', default: 'dns,haproxy,typescript,python' },
    json: { type: 'boolean', default: false },
  },
});
const AGE_SECONDS = Number(flags.age);
const only = flags.only.split(',');

const NAME = 'vicregl.test';
const PORT = 50_251;
const METRICS_PORT = 50_252;
const PROXY = '127.0.0.10:50250';
/** dnsmasq's own address, so that it gets port 53 also where another resolver listens on 127.0.0.1. */
const RESOLVER = '127.0.0.153';
const CALLERS = 4;
/** Largest deviation of a replica from its share. */
const MAX_DEVIATION = 0.1;
/** Time in which a pod is still in the DNS after it was told to stop, or died. */
const STALE_MS = 1000;
/** Three intervals of HAProxy's checks. */
const DRAIN_DELAY_MS = 3000;
/** The age with its jitter, and a moment to connect. */
const SETTLE_MS = AGE_SECONDS * 1100 + 1500;

type Way = 'dns' | 'haproxy';

const root = await mkdtemp(join(tmpdir(), 'vicregl-fleet-'));
const resolvConf = join(root, 'resolv.conf');
const hosts = join(root, 'hosts');
const request = join(root, 'request');
const children = new Set<ChildProcess>();

function start(command: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...environment } });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** Starts a program for which dnsmasq is the resolver. */
function startResolving(command: string, args: readonly string[], environment?: NodeJS.ProcessEnv): ChildProcess {
  const bind = 'mount --bind "$0" /etc/resolv.conf && exec "$@"';
  return start('unshare', ['--mount', '--', 'sh', '-c', bind, resolvConf, command, ...args], environment);
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}

interface Replica {
  readonly host: string;
  readonly child: ChildProcess;
}

async function startReplica(host: string, model: string): Promise<Replica> {
  const child = start(
    process.execPath,
    [
      ...['bin/vicregl.js', 'serve', '--model', model, '--device', 'cpu', '--workers', '1', '--threads', '1'],
      ...['--address', `${host}:${PORT}`, '--metrics-address', `${host}:${METRICS_PORT}`, '--admin-address', 'off'],
      ...['--decode-processes', '0', '--connection-age-seconds', String(AGE_SECONDS)],
      ...['--drain-delay-ms', String(DRAIN_DELAY_MS)],
    ],
    { ORT_DISABLE_TELEMETRY: '1' },
  );
  for await (const line of createInterface({ input: child.stdout! })) {
    if ((JSON.parse(line) as { msg: string }).msg !== 'serving') continue;
    child.stdout!.resume();
    return { host, child };
  }
  throw new Error(`the replica at ${host} ended before it was ready`);
}

/** Embed calls that a replica has answered. */
async function answeredBy({ host }: Replica): Promise<number> {
  const text = await (await fetch(`http://${host}:${METRICS_PORT}/metrics`)).text();
  return Number(/^vicregl_requests_total\{method="Embed",code="OK"\} (\d+)$/m.exec(text)?.[1] ?? 0);
}

interface Spread {
  readonly after: string;
  readonly calls: Readonly<Record<string, number>>;
  /** Largest deviation from an equal share, relative to it. */
  readonly deviation: number;
}

/** How the calls of one connection age are spread over replicas. */
async function spreadOver(replicas: readonly Replica[], after: string): Promise<Spread> {
  const before = await Promise.all(replicas.map(answeredBy));
  await delay(AGE_SECONDS * 1000);
  const end = await Promise.all(replicas.map(answeredBy));
  const counts = end.map((count, i) => count - before[i]!);
  const share = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return {
    after,
    calls: Object.fromEntries(replicas.map(({ host }, i) => [host, counts[i]!])),
    deviation: Math.max(...counts.map((count) => Math.abs(count / share - 1))),
  };
}

interface Outcome {
  readonly way: Way;
  readonly client: string;
  readonly spreads: readonly Spread[];
  readonly answered: number;
  readonly failures: Readonly<Record<string, number>>;
}

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

const clients: Readonly<Record<string, (address: string) => readonly [string, readonly string[]]>> = {
  typescript: (address) => [process.execPath, [here('fleetClient.js'), address, String(CALLERS)]],
  python: (address) => ['/usr/bin/python3', ['scripts/proofs/fleet_client.py', address, String(CALLERS), request]],
};

async function outcomeOf(way: Way, name: string, model: string): Promise<Outcome> {
  const dns = async (replicas: readonly Replica[]): Promise<void> => {
    await writeFile(hosts, replicas.map(({ host }) => `${host} ${NAME}\n`).join(''));
    dnsmasq.kill('SIGHUP');
  };
  await writeFile(hosts, '');
  const dnsmasq = start('dnsmasq', [
    ...['--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', `--addn-hosts=${hosts}`],
    ...['--bind-interfaces', `--listen-address=${RESOLVER}`, '--user=root', '--pid-file=', '--local=/test/'],
  ]);
  const [a, b] = [await startReplica('127.0.0.11', model), await startReplica('127.0.0.12', model)];
  await dns([a, b]);
  const proxy =
    way === 'haproxy'
      ? startResolving('haproxy', ['-q', '-f', 'deploy/haproxy.cfg'], {
          VICREGL_LISTEN: PROXY,
          VICREGL_HOST: NAME,
          VICREGL_PORT: String(PORT),
        })
      : undefined;
  proxy?.stdout?.resume();
  // Its first look at the replicas.
  if (proxy) await delay(4000);
  const client = startResolving(...clients[name]!(proxy ? PROXY : `dns:///${NAME}:${PORT}`));
  let printed = '';
  client.stdout!.on('data', (bytes: Buffer) => {
    printed += bytes.toString();
  });
  const spreads: Spread[] = [];
  const measure = async (replicas: readonly Replica[], after: string): Promise<void> => {
    await delay(SETTLE_MS);
    const spread = await spreadOver(replicas, after);
    spreads.push(spread);
    console.error(`${new Date().toISOString()} ${way} ${name}: ${after}: ${JSON.stringify(spread.calls)}`);
  };
  await measure([a, b], 'start with two');
  const c = await startReplica('127.0.0.13', model);
  await dns([a, b, c]);
  await measure([a, b, c], 'one added');
  const stopped = stop(b.child, 'SIGTERM');
  await delay(STALE_MS);
  await dns([a, c]);
  await stopped;
  await measure([a, c], 'one stopped by SIGTERM');
  const d = await startReplica('127.0.0.14', model);
  await dns([a, c, d]);
  await measure([a, c, d], 'another one added');
  await stop(a.child, 'SIGKILL');
  await delay(STALE_MS);
  await dns([c, d]);
  await measure([c, d], 'one lost by SIGKILL');
  const ended = once(client.stdout!, 'end');
  await Promise.all([ended, stop(client, 'SIGTERM')]);
  for (const child of [proxy, dnsmasq]) if (child) await stop(child, 'SIGTERM');
  for (const { child } of [c, d]) await stop(child, 'SIGKILL');
  return { way, client: name, spreads, ...(JSON.parse(printed) as Pick<Outcome, 'answered' | 'failures'>) };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function table(outcomes: readonly Outcome[]): string {
  const rows = outcomes.flatMap(({ way, client, spreads, answered, failures }) => [
    ...spreads.map(
      ({ after, calls, deviation }) =>
        `| ${way} | ${client} | ${after} | ${Object.values(calls).join(', ')} | ${percent(deviation)} |`,
    ),
    `| ${way} | ${client} | in all | ${answered} answered, ${Object.values(failures).reduce((sum, count) => sum + count, 0)} failed | |`,
  ]);
  return [
    '| by | client | after | calls of each replica in one connection age | largest deviation |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

if (process.platform !== 'linux' || process.getuid?.() !== 0) {
  throw new Error('this needs Linux and root: it gives its programs a resolv.conf and addresses of their own');
}
for (const [program, argument] of [
  ['dnsmasq', '--version'],
  ['haproxy', '-v'],
] as const) {
  execFileSync(program, [argument], { stdio: 'ignore' });
}
const { folder, remove } = await withTinyModel();
try {
  await writeFile(resolvConf, `nameserver ${RESOLVER}\noptions attempts:2 timeout:1\n`);
  const { Embed } = loadVicreglService().service;
  const raw = { width: 56, height: 56, rgb: Buffer.alloc(56 * 56 * 3, 7) };
  await writeFile(request, Embed.requestSerialize({ image: { raw } }));
  const outcomes: Outcome[] = [];
  for (const way of ['dns', 'haproxy'] as const) {
    for (const client of Object.keys(clients)) {
      if (!only.includes(way) || !only.includes(client)) continue;
      outcomes.push(await outcomeOf(way, client, folder.dir));
    }
  }
  console.log(flags.json ? JSON.stringify(outcomes) : table(outcomes));
  for (const { failures } of outcomes) for (const failure of Object.keys(failures)) console.error(failure);
  const good = outcomes.every(
    ({ spreads, failures }) =>
      Object.keys(failures).length === 0 && spreads.every(({ deviation }) => deviation <= MAX_DEVIATION),
  );
  if (!good) process.exitCode = 1;
} finally {
  for (const child of children) child.kill('SIGKILL');
  await remove();
  await rm(root, { recursive: true, force: true });
}
