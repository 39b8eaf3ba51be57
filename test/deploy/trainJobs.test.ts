import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parse } from 'yaml';
import { faultsOf } from '../support/kubernetesSchemas.js';
import { long } from '../support/longTests.js';
import { weightDifference, writeRankConfig } from '../support/rankRuns.js';
import { bin } from '../support/servedProcess.js';
import { skipWithoutSlurm, startSlurm } from '../support/slurm.js';
import { until } from '../support/until.js';
import { vicreglInHost } from '../support/vicregl.js';

/** The jobs in deploy/ that train on several machines. */

/** How srun connects the ranks, and what it needs beside Slurm. */
const interfaces = {
  pmix: { library: '/usr/lib/x86_64-linux-gnu/pmix2/lib/libpmix.so', packages: 'openmpi-bin libpmix-dev' },
  pmi2: { library: '/usr/lib/x86_64-linux-gnu/libmpich.so.12', packages: 'mpich' },
} as const;

for (const [mpi, { library, packages }] of Object.entries(interfaces)) {
  const skip =
    skipWithoutSlurm() || (!existsSync(library) && `${library} is not there (Debian: apt-get install ${packages})`);
  test(
    `the Slurm job trains by srun --mpi=${mpi}, saves at its signal, is requeued, and gives the weights of one process`,
    {
      skip,
      ...long,
    },
    () => trainBySlurm(mpi),
  );
}

async function trainBySlurm(mpi: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'vicregl-slurm-'));
  const slurm = await startSlurm(scratch, 2);
  try {
    // Long enough to be stopped on the way.
    const config = await writeRankConfig(scratch, 40);
    const [alone, run] = [join(scratch, 'alone'), join(scratch, 'run')];
    const single = await vicreglInHost('train', '--config', config, '--out', alone);
    assert.equal(single.code, 0, single.stderr);

    const small = [
      '--parsable',
      '--nodes=1',
      '--ntasks-per-node=2',
      '--gpus-per-node=0',
      '--cpus-per-task=1',
      '--mem=1G',
    ];
    const env = { MPI: mpi, CONFIG: config, OUT: run, VICREGL: `${process.execPath} ${bin}` };
    const job = (await slurm.run('sbatch', [...small, resolve('deploy/train.sbatch')], env)).trim();
    await until(
      async () => (await readFile(join(run, 'log.jsonl'), 'utf8').catch(() => '')).split('\n').length > 3,
      60,
    );
    // As Slurm does two minutes before the time limit: to the tasks, not to the script.
    await slurm.run('scancel', ['--signal=USR2', job]);
    await slurm.untilPending(job);
    // Slurm would wait two minutes. What ends the first attempt must not meet the second.
    await until(async () => (await slurm.run('sinfo', ['-h', '-o', '%T'])).trim() === 'idle', 60);
    await delay(5000);
    await slurm.startPending(job);
    await slurm.untilEmpty();

    const [name] = (await readdir(scratch)).filter((file) => file.startsWith('vicregl-train-'));
    const log = await readFile(join(scratch, name!), 'utf8');
    assert.equal(log.match(/^stopped early/gm)?.length, 1, log);
    assert.match(log, /^step 80 of 80: /m);
    assert.ok((await weightDifference(alone, run)) < 1e-3);
  } finally {
    await slurm.stop();
    await rm(scratch, { recursive: true });
  }
}

test('the MPI job starts a rank for each GPU, resumes, and its pods agree with the schema', async () => {
  const job = parse(await readFile('deploy/kubernetes-train.yml', 'utf8')) as {
    kind: string;
    spec: {
      slotsPerWorker: number;
      mpiReplicaSpecs: Record<
        'Launcher' | 'Worker',
        { template: { spec: { containers: { args: string[]; resources: { limits: Record<string, string> } }[] } } }
      >;
    };
  };
  assert.equal(job.kind, 'MPIJob');
  const { Launcher, Worker } = job.spec.mpiReplicaSpecs;
  for (const { template } of [Launcher, Worker]) {
    const withPolicy = { ...template, spec: { ...template.spec, restartPolicy: 'Never' } };
    const wrapped = { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'x' }, spec: { template: withPolicy } };
    assert.deepEqual(faultsOf(wrapped), []);
  }
  assert.equal(Worker.template.spec.containers[0]!.resources.limits['nvidia.com/gpu'], String(job.spec.slotsPerWorker));
  const [script] = Launcher.template.spec.containers[0]!.args as [string];
  assert.ok(existsSync('bin/vicregl.js') && script.includes('/app/bin/vicregl.js train'));
  const { stdout } = await vicreglInHost('train', '--help');
  const flags = script.slice(script.indexOf('vicregl.js')).match(/--[a-z-]+/g)!;
  assert.ok(flags.includes('--distributed') && script.includes('--resume'));
  for (const flag of flags) assert.ok(stdout.includes(flag), flag);
});
