import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { listCheckpoints } from '../../src/train/checkpoint.js';
import { longTests } from '../support/longTests.js';
import { weightDifference, writeRankConfig } from '../support/rankRuns.js';
import { runRecords } from '../support/runRecords.js';
import { bin } from '../support/servedProcess.js';
import { until } from '../support/until.js';

/** `vicregl train --distributed mpi` under the mpirun of Open MPI and of MPICH. */

const execute = promisify(execFile);
const found = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

/** The launchers of the implementations, with the flags that they need as root on few processors. */
const launchers = {
  'Open MPI': ['mpirun.openmpi', '--allow-run-as-root', '--oversubscribe'],
  MPICH: ['mpirun.mpich'],
} as const;

const skip = (name: keyof typeof launchers): { skip?: string } => {
  if (!longTests) return { skip: 'one of the long tests: npm run test:long' };
  const [program] = launchers[name];
  return found(program) ? {} : { skip: `${program} is not installed (Debian: apt-get install openmpi-bin mpich)` };
};

let scratch: string;
let config: string;
/** The command as npm installs it, which the documents give to launchers. */
let installed: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-distributed-'));
  config = await writeRankConfig(scratch, 5);
  installed = join(scratch, 'node_modules/.bin/vicregl');
  await mkdir(dirname(installed), { recursive: true });
  await symlink(bin, installed);
});
after(() => rm(scratch, { recursive: true }));

/** The command line of so many ranks. */
const ranks = (name: keyof typeof launchers, count: number, ...flags: string[]): [string, string[]] => {
  const [program, ...given] = launchers[name];
  return [program, [...given, '-n', String(count), installed, 'train', '--distributed', 'mpi', ...flags]];
};

/** Ids of the processes that are ranks of a run. */
async function ranksOf(run: string): Promise<number[]> {
  const { stdout } = await execute('pgrep', ['-f', `train --distributed mpi .*${run}`]);
  const nodes: number[] = [];
  for (const pid of stdout.trim().split('\n')) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (/^(\S*\/)?node$/.test(command.split('\0')[0]!)) nodes.push(Number(pid));
  }
  return nodes;
}

/** Starts ranks, and resolves when `steps` steps are logged. */
async function started(run: string, steps: number, [program, args]: [string, string[]]): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: 'ignore' });
  await until(async () => {
    const text = await readFile(join(run, 'log.jsonl'), 'utf8').catch(() => '');
    return text.split('\n').length > steps;
  });
  return child;
}

test('a rank has more pool threads than a loader, unless UV_THREADPOOL_SIZE is set', {
  skip: process.platform !== 'linux',
}, async () => {
  const probe = join(scratch, 'probe.cjs');
  // Threads are made at the pool's first use: here, if nothing has used it before.
  await writeFile(
    probe,
    `const fs = require('node:fs');
    process.on('exit', () => {
      fs.readFile(__filename, () => undefined);
      console.log('threads', fs.readdirSync('/proc/self/task').length);
    });`,
  );
  const threads = async (size: string | undefined, ...flags: string[]) => {
    const { UV_THREADPOOL_SIZE: _, ...others } = process.env;
    const env = { ...others, ...(size !== undefined && { UV_THREADPOOL_SIZE: size }) };
    const { stdout } = await execute(process.execPath, ['--require', probe, bin, 'train', ...flags, '--help'], { env });
    return Number(/^threads (\d+)$/m.exec(stdout)![1]);
  };
  const usual = await threads(undefined);
  assert.equal((await threads(undefined, '--distributed', 'mpi')) - usual, 64);
  assert.equal((await threads(undefined, '--distributed=mpi')) - usual, 64);
  assert.equal((await threads('6', '--distributed', 'mpi')) - usual, 2);
});

for (const name of ['Open MPI', 'MPICH'] as const) {
  describe(`training by ${name}`, skip(name), () => {
    for (const [network, keys] of [
      ['a ConvNeXt', []],
      ['a ResNet', ['--set', 'model.architecture=resnet_basic', '--set', 'model.dropPath=0']],
    ] as const) {
      test(`of ${network} gives the log and the weights of one process`, async () => {
        const [alone, two] = [join(scratch, `${name}-${network}-1`), join(scratch, `${name}-${network}-2`)];
        await execute(process.execPath, [bin, 'train', '--config', config, '--out', alone, ...keys]);
        await execute(...ranks(name, 2, '--config', config, '--out', two, ...keys));
        assert.ok((await weightDifference(alone, two)) < 1e-4);
        const losses = async (run: string) =>
          (await runRecords(run)).flatMap((record) => ('l' in record ? [Number(record.l)] : []));
        const [log, other] = await Promise.all([losses(alone), losses(two)]);
        assert.deepEqual([log.length, other.length], [10, 10]);
        for (const [i, loss] of log.entries()) assert.ok(Math.abs(other[i]! / loss - 1) < 1e-4, `step ${i + 1}`);
      });
    }

    test('is saved by a signal to mpirun, and goes on with another number of ranks to the same weights', async () => {
      const [whole, run] = [join(scratch, `${name}-whole`), join(scratch, `${name}-interrupted`)];
      await execute(...ranks(name, 2, '--config', config, '--out', whole));
      const child = await started(run, 2, ranks(name, 4, '--config', config, '--out', run));
      // Open MPI passes it on; MPICH passes SIGTERM on.
      child.kill(name === 'Open MPI' ? 'SIGUSR2' : 'SIGTERM');
      assert.deepEqual(await once(child, 'exit'), [0, null]);
      const [at] = await listCheckpoints(run);
      assert.ok(at! > 0 && at! < 10, `saved at step ${at}`);
      await execute(...ranks(name, 2, '--resume', '--out', run));
      assert.ok((await weightDifference(whole, run)) < 1e-4);
    });

    test('ends with code 0 if a signal reaches a rank that has stopped already, while rank 0 still saves', async () => {
      const run = join(scratch, `${name}-late`);
      const endless = ['--config', config, '--set', 'epochs=5000', '--out', run];
      const child = await started(run, 2, ranks(name, 2, ...endless));
      const first = (JSON.parse(await readFile(join(run, 'run.lock'), 'utf8')) as { pid: number }).pid;
      const second = (await ranksOf(run)).find((pid) => pid !== first)!;
      process.kill(first, 'SIGUSR2');
      await until(async () => existsSync(join(run, 'checkpoints')));
      // Rank 0 stands in the middle of saving: rank 1 has stopped, and waits for it.
      process.kill(first, 'SIGSTOP');
      await delay(1000);
      process.kill(second, 'SIGUSR2');
      await delay(1000);
      process.kill(first, 'SIGCONT');
      assert.deepEqual(await once(child, 'exit'), [0, null]);
      assert.equal((await listCheckpoints(run)).length, 1);
    });

    test('ends on all ranks when one is killed', async () => {
      const run = join(scratch, `${name}-killed`);
      const endless = ['--config', config, '--set', 'epochs=5000', '--out', run];
      const child = await started(run, 2, ranks(name, 2, ...endless));
      const nodes = await ranksOf(run);
      assert.equal(nodes.length, 2);
      process.kill(nodes[1]!, 'SIGKILL');
      const [code] = (await once(child, 'exit')) as [number];
      assert.notEqual(code, 0);
      await until(async () =>
        (await Promise.all(nodes.map((pid) => stat(`/proc/${pid}`).catch(() => 0)))).every((s) => s === 0),
      );
    });

    test('is refused with one message where the ranks cannot train together', async () => {
      const run = join(scratch, `${name}-refused`);
      const failed = async (...flags: string[]): Promise<string> => {
        const { stderr, stdout, code } = (await execute(...ranks(name, 2, '--out', run, ...flags)).catch(
          (error: unknown) => error,
        )) as { stderr: string; stdout: string; code?: number };
        assert.notEqual(code, undefined);
        const lines = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('vicregl: '));
        assert.equal(lines.length, 1, lines.join('\n'));
        assert.deepEqual(await readdir(run).catch(() => []), []);
        return lines[0]!;
      };
      assert.match(
        await failed('--config', config, '--set', 'batchSize=7'),
        /rank 0 of 2: batchSize 7 cannot be divided among 2 ranks; use 1 or 7 ranks/,
      );
      assert.match(
        await failed('--config', config, '--set', 'data.source=nowhere'),
        /rank 0 of 2: .*nowhere cannot be opened/,
      );
    });
  });
}
