import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
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

/** Writes programs for the scripts' PATH. @param programs shell scripts by name */
async function writePrograms(folder: string, programs: Readonly<Record<string, string>>): Promise<NodeJS.ProcessEnv> {
  await mkdir(folder);
  for (const [name, script] of Object.entries(programs)) {
    await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  return { ...process.env, PATH: `${folder}:${process.env['PATH']}` };
}

test('the Slurm job is requeued where the folder above the run does not exist yet, and gives each task its processors', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'vicregl-sbatch-'));
  try {
    const calls = join(scratch, 'calls');
    const env = await writePrograms(join(scratch, 'bin'), {
      srun: `echo "srun $*" >> '${calls}'; mkdir -p "$OUT"; echo 'stopped early; continue'`,
      scontrol: `echo "scontrol $*" >> '${calls}'`,
      sleep: 'exit 0',
    });
    const start = async (more: Readonly<Record<string, string>>) => {
      const place = { env: { ...env, SLURM_JOB_ID: '7', CONFIG: 'c.yaml', ...more } };
      await promisify(execFile)('bash', ['deploy/train.sbatch', '--device', 'cuda'], place);
      const [srun, requeue] = (await readFile(calls, 'utf8')).trim().split('\n').slice(-2);
      assert.equal(requeue, 'scontrol requeue 7');
      return srun!;
    };
    const out = join(scratch, 'new/parent/run');
    const given = await start({ OUT: out, SLURM_CPUS_PER_TASK: '8' });
    assert.match(given, /^srun --mpi=pmix --kill-on-bad-exit=1 --cpus-per-task=8 \S*vicregl train --distributed mpi /);
    assert.ok(given.endsWith(` --out ${out} --config c.yaml --device cuda`), given);
    assert.doesNotMatch(await start({ OUT: join(scratch, 'other'), SLURM_CPUS_PER_TASK: '' }), /cpus-per-task/);
  } finally {
    await rm(scratch, { recursive: true });
  }
});

test('the launcher of the MPI job passes SIGTERM on as USR2 at once, and ends as mpirun does otherwise', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'vicregl-launcher-'));
  try {
    const job = parse(await readFile('deploy/kubernetes-train.yml', 'utf8'));
    const [script] = job.spec.mpiReplicaSpecs.Launcher.template.spec.containers[0].args as [string];
    const started = join(scratch, 'started');
    const saved = join(scratch, 'saved');
    const waiting = `trap 'touch ${saved}; exit 0' USR2; touch ${started}; while :; do sleep 0.05; done`;
    const env = await writePrograms(join(scratch, 'bin'), { mpirun: `[ -z "$ENDS" ] || exit $ENDS; ${waiting}` });
    for (const code of [0, 3]) {
      const child = spawn('/bin/sh', ['-c', script], { env: { ...env, ENDS: String(code) }, stdio: 'ignore' });
      assert.deepEqual(await once(child, 'exit'), [code, null]);
    }
    const child = spawn('/bin/sh', ['-c', script], { env: { ...env, ENDS: '' }, stdio: 'ignore' });
    await until(() => existsSync(started));
    child.kill('SIGTERM');
    // A failure, so that the operator starts the launcher again.
    assert.deepEqual(await once(child, 'exit'), [143, null]);
    assert.ok(existsSync(saved));
  } finally {
    await rm(scratch, { recursive: true });
  }
});

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
