import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until } from './until.js';

const programs = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'squeue', 'scontrol'];

/**
 * The reason to skip a test that needs Slurm, or false if it can run: it needs the programs, and root, as slurmd does.
 * @throws Error if it cannot run and CI_SLURM=required. .ci/run sets this, because CI must not skip tests.
 */
export function skipWithoutSlurm(): string | false {
  const missing = programs.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);
  const reason =
    missing.length > 0
      ? `${missing.join(', ')} not installed (Debian: apt-get install slurm-wlm munge)`
      : process.getuid?.() !== 0 && 'slurmd needs root';
  if (reason === false || process.env['CI_SLURM'] !== 'required') return reason;
  throw new Error(`${reason}, and CI_SLURM=required forbids to skip what needs it`);
}

/** A Slurm cluster of this machine alone, with its own configuration, ports and key. */
export interface SlurmCluster {
  /** Runs a Slurm command, such as `squeue`. @returns its output */
  run(command: string, args: readonly string[], env?: Readonly<Record<string, string>>): Promise<string>;
  /** Waits until a job that was requeued waits for its next attempt. */
  untilPending(job: string): Promise<void>;
  /** Starts the next attempt now. Slurm would wait two minutes. */
  startPending(job: string): Promise<void>;
  /** Waits until no job is left. */
  untilEmpty(): Promise<void>;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts munged, slurmctld and slurmd in the foreground, and waits until the node is idle. @param dir an empty folder */
export async function startSlurm(dir: string, cpus: number): Promise<SlurmCluster> {
  const [host] = hostname().split('.') as [string];
  const conf = join(dir, 'slurm.conf');
  const munge = join(dir, 'munge');
  for (const folder of ['state', 'spool', 'munge']) await mkdir(join(dir, folder));
  // munged and slurmctld refuse folders that others can write to.
  await chmod(dir, 0o755);
  await chmod(munge, 0o700);
  await writeFile(join(munge, 'key'), randomBytes(1024), { mode: 0o600 });
  const settings = {
    ClusterName: 'test',
    SlurmctldHost: `${host}(127.0.0.1)`,
    SlurmctldPort: await freePort(),
    SlurmdPort: await freePort(),
    SlurmUser: 'root',
    AuthType: 'auth/munge',
    AuthInfo: `socket=${join(munge, 'socket')}`,
    CredType: 'cred/munge',
    StateSaveLocation: join(dir, 'state'),
    SlurmdSpoolDir: join(dir, 'spool'),
    SlurmctldPidFile: join(dir, 'slurmctld.pid'),
    SlurmdPidFile: join(dir, 'slurmd.pid'),
    // Without cgroups, which a container may lack.
    ProctrackType: 'proctrack/linuxproc',
    TaskPlugin: 'task/none',
    JobAcctGatherType: 'jobacct_gather/none',
    SelectType: 'select/cons_tres',
    SelectTypeParameters: 'CR_Core',
    // The machine may have fewer cores than tasks.
    SlurmdParameters: 'config_overrides',
    SchedulerParameters: 'sched_interval=1',
    MpiDefault: 'none',
    ReturnToService: 2,
    KillWait: 2,
  };
  const lines = [
    ...Object.entries(settings).map(([key, value]) => `${key}=${value}`),
    `NodeName=${host} NodeAddr=127.0.0.1 CPUs=${cpus} RealMemory=4000 State=UNKNOWN`,
    'PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP',
  ];
  await writeFile(conf, `${lines.join('\n')}\n`);
  const base = { ...process.env, SLURM_CONF: conf };
  const run: SlurmCluster['run'] = async (command, args, env = {}) =>
    (await promisify(execFile)(command, [...args], { cwd: dir, env: { ...base, ...env } })).stdout;

  const daemons: ChildProcess[] = [];
  let log = '';
  const start = (command: string, ...args: string[]) => {
    const child = spawn(command, args, { cwd: dir, env: base, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text: Buffer) => {
        log = (log + text.toString()).slice(-20_000);
      });
    }
    daemons.unshift(child);
  };
  const stop = async () => {
    // Jobs of a test that failed would outlive their daemons.
    if (daemons.length === 3) await run('scancel', ['-u', 'root']).catch(() => '');
    for (const daemon of daemons) {
      if (daemon.exitCode !== null || daemon.signalCode !== null) continue;
      const ended = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      const timer = setTimeout(() => daemon.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(timer);
    }
  };
  try {
    const inMunge = (flag: string, name: string) => `--${flag}=${join(munge, name)}`;
    const files = ['key-file:key', 'socket:socket', 'pid-file:pid', 'log-file:log', 'seed-file:seed'];
    start(
      'munged',
      '--foreground',
      '--force',
      ...files.map((file) => inMunge(...(file.split(':') as [string, string]))),
    );
    await until(async () => spawnSync('munge', ['-n', '-S', join(munge, 'socket')]).status === 0, 50);
    start('slurmctld', '-D', '-i', '-f', conf);
    start('slurmd', '-D', '-f', conf);
    await until(async () => (await run('sinfo', ['-h', '-o', '%T']).catch(() => '')).trim() === 'idle', 100);
  } catch (error) {
    await stop();
    throw new Error(`Slurm does not start: ${log}`, { cause: error });
  }
  return {
    run,
    untilPending: (job) => until(async () => (await run('squeue', ['-h', '-t', 'PD', '-j', job])).trim() !== '', 50),
    async startPending(job) {
      await run('scontrol', ['update', `JobId=${job}`, 'StartTime=now']);
    },
    untilEmpty: () => until(async () => (await run('squeue', ['-h'])).trim() === '', 100),
    stop,
  };
}
