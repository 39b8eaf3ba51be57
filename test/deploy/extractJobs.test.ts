import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { folderTree } from '../support/folderTree.js';
import { long } from '../support/longTests.js';
import { bin } from '../support/servedProcess.js';
import { skipWithoutSlurm, startSlurm } from '../support/slurm.js';
import { withTinyModel } from '../support/tinyModel.js';
import { writePhotographs } from '../support/tinyRun.js';
import { until } from '../support/until.js';
import { vicreglInHost } from '../support/vicregl.js';

/** The jobs in deploy/ that extract features on several machines. */

const TASKS = 4;

test('the Slurm script gives the threads of the task to a model in the task, and none to a service', async () => {
  const common = ['extract', '--source', '/data/in', '--out', '/data/out'];
  const env = { ...process.env, SOURCE: '/data/in', OUT: '/data/out', SLURM_CPUS_PER_TASK: '3', VICREGL: 'echo' };
  for (const [flags, threads] of [
    [
      ['--local', '--format', 'npy'],
      ['--threads', '3'],
    ],
    [['--model=models/a'], ['--threads', '3']],
    [
      ['--model', 'models/a'],
      ['--threads', '3'],
    ],
    [['--address', '10.0.0.1:50051'], []],
    [['--what', 'embedding'], []],
  ] as const) {
    const { stdout } = await promisify(execFile)('bash', ['deploy/extract.sbatch', ...flags], { env });
    assert.equal(stdout.trim(), [...common, ...threads, '--resume', ...flags].join(' '));
  }
});

test('the Slurm array, one task of which is killed and requeued, gives the folder of a single run', {
  skip: skipWithoutSlurm(),
  ...long,
}, async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'vicregl-slurm-'));
  const model = await withTinyModel();
  const slurm = await startSlurm(scratch, TASKS);
  try {
    const [source, out, single] = ['source', 'out', 'single'].map((name) => join(scratch, name)) as [
      string,
      string,
      string,
    ];
    await writePhotographs(
      source,
      Array.from({ length: 64 }, (_, i) => `${i}.jpg`),
    );
    const flags = ['--model', model.folder.dir, '--device', 'cpu', '--format', 'npy', '--shard-images', '8'];
    const alone = await vicreglInHost('extract', '--source', source, '--out', single, ...flags);
    assert.equal(alone.code, 0, alone.stderr);

    // The first attempt of task 2, which has the shards 4 and 5, is killed while it writes.
    const killed = join(scratch, 'killed');
    const command = join(scratch, 'command');
    await writeFile(
      command,
      `#!/bin/bash
if [ "$SLURM_ARRAY_TASK_ID" = 2 ] && [ -z "\${SLURM_RESTART_COUNT:-}" ]; then
  "${process.execPath}" "${bin}" "$@" & child=$!
  until ls -A "$OUT/img_emb" 2>/dev/null | grep -q '^\\.img_emb_[45]\\.npy\\..*tmp$'; do sleep 0.005; done
  kill -KILL $child
  touch "${killed}"
  sleep 600
fi
exec "${process.execPath}" "${bin}" "$@"
`,
    );
    await chmod(command, 0o755);
    const small = ['--parsable', '--cpus-per-task=1', '--mem=500M'];
    const script = resolve('deploy/extract.sbatch');
    const env = { SOURCE: source, OUT: out, VICREGL: command };
    const job = (await slurm.run('sbatch', [...small, script, ...flags], env)).trim();
    await until(() => existsSync(killed), 20);
    await slurm.run('scontrol', ['requeue', `${job}_2`]);
    await slurm.untilPending(`${job}_2`);
    await slurm.startPending(`${job}_2`);
    await slurm.untilEmpty();

    const logs = (await readdir(scratch)).filter((name) => name.startsWith(`vicregl-extract-${job}_`));
    assert.equal(logs.length, TASKS);
    const log = await readFile(join(scratch, `vicregl-extract-${job}_2.log`), 'utf8');
    assert.equal(log.match(/part 2 of 4 \(SLURM_ARRAY_TASK_ID=2, SLURM_ARRAY_TASK_COUNT=4\)/g)?.length, 2, log);
    assert.deepEqual(await folderTree(out), await folderTree(single), log);
  } finally {
    await slurm.stop();
    await model.remove();
    await rm(scratch, { recursive: true });
  }
});

test('the Kubernetes job is indexed, tells each pod the number of parts, and resumes', async () => {
  const job = parse(await readFile('deploy/kubernetes-extract.yml', 'utf8')) as {
    kind: string;
    spec: {
      completions: number;
      parallelism: number;
      completionMode: string;
      backoffLimitPerIndex: number;
      podFailurePolicy: { rules: { action: string; onExitCodes: { values: number[] } }[] };
      template: {
        spec: { restartPolicy: string; containers: { args: string[]; env: { name: string; value: string }[] }[] };
      };
    };
  };
  const { spec } = job;
  assert.deepEqual([job.kind, spec.completionMode, spec.template.spec.restartPolicy], ['Job', 'Indexed', 'Never']);
  assert.ok(spec.backoffLimitPerIndex >= 1 && spec.parallelism <= spec.completions);
  const [{ args, env }] = spec.template.spec.containers as [(typeof spec.template.spec.containers)[number]];
  assert.equal(env.find(({ name }) => name === 'JOB_COMPLETIONS')?.value, String(spec.completions));
  assert.deepEqual([args[0], args.includes('--resume')], ['extract', true]);
  // Exit code 3, images that cannot be read, would be the same in another attempt.
  assert.deepEqual(spec.podFailurePolicy.rules.find(({ action }) => action === 'FailIndex')?.onExitCodes.values, [3]);
  // Its flags exist.
  const { stdout } = await vicreglInHost('extract', '--help');
  for (const flag of args.filter((arg) => arg.startsWith('--'))) {
    assert.ok(stdout.includes(flag.split('=')[0]!), flag);
  }
});
