import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { listCheckpoints, loadCheckpoint } from '../../src/train/checkpoint.js';
import { runRecords } from '../support/runRecords.js';
import { bin } from '../support/servedProcess.js';
import { tinyKeys, writePhotographs } from '../support/tinyRun.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

/** `vicregl train` as a process. */

let scratch: string;
let config: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-cli-train-'));
  const photographs = join(scratch, 'photographs');
  await writePhotographs(
    photographs,
    Array.from({ length: 8 }, (_, i) => `${i}.jpg`),
  );
  config = join(scratch, 'tiny.yaml');
  await writeFile(config, stringify(tinyKeys(photographs)));
});
after(() => rm(scratch, { recursive: true }));

/** Starts training, sends the signal after the first plain progress line, and waits for the end. */
async function interrupted(signal: 'SIGTERM' | 'SIGINT', ...args: string[]) {
  const child = spawn(process.execPath, [bin, 'train', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  const stdout = text(child.stdout);
  let stderr = '';
  for await (const chunk of child.stderr.setEncoding('utf8')) {
    if (stderr === '' && String(chunk).startsWith('step ')) child.kill(signal);
    stderr += String(chunk);
  }
  return { exit: await exited, stdout: await stdout, stderr };
}

describe('vicregl train', () => {
  test('on SIGTERM finishes the step, saves, prints how to continue and exits with code 0; --resume continues', async () => {
    const run = join(scratch, 'stopped');
    const long = ['--set', 'epochs=100000', '--out', run];
    const first = await interrupted('SIGTERM', '--config', config, ...long);
    assert.deepEqual(first.exit, [0, null], first.stderr);
    const [step] = await listCheckpoints(run);
    assert.ok(step! >= 1);
    assert.equal(
      first.stdout,
      `step ${step} of 200000: ${join(run, 'checkpoints', `step-${String(step).padStart(8, '0')}.safetensors`)}\n` +
        `stopped early; continue with: npx vicregl train --out ${run} --resume\n`,
    );
    assert.match(first.stderr, /^step 1\/200000 \| .* left \| loss \d+\.\d{3} stdr \d\.\d{3} \d+\.\d images\/s\n$/);

    const second = await interrupted('SIGINT', '--out', run, '--resume');
    assert.deepEqual(second.exit, [0, null], second.stderr);
    assert.match(second.stderr, new RegExp(`^step ${step! + 1}/200000 `));
    const { step: last } = await loadCheckpoint(run);
    assert.ok(last > step!);
    // every step is in the log exactly once, across the stop
    assert.deepEqual(
      (await runRecords(run)).map((record) => record.step),
      Array.from({ length: last }, (_, i) => i + 1),
    );
  });

  test('runs to the end and prints how to export', async () => {
    const run = join(scratch, 'whole');
    const { code, stdout, stderr } = await vicregl('train', '--config', config, '--set', 'epochs=1', '--out', run);
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^step 2 of 2: .*step-00000002\.safetensors\ndone; export with: npx vicregl export \S+ --out models\/tiny\n$/,
    );
    assert.match(stderr, /^step 1\/2 \| .*\nstep 2\/2 \| 0 s left \| .*\n$/);
  });

  test('starts from a PyTorch checkpoint, which the dry run and the export name', async () => {
    const file = 'test/golden/train_convnext_adamw.pth';
    const imported = await vicregl('import', file, '--out', join(scratch, 'imported'));
    assert.equal(imported.code, 0, imported.stderr);
    const { depths, widths } = JSON.parse(await readFile(join(scratch, 'imported', 'manifest.json'), 'utf8'));
    const run = join(scratch, 'given');
    const flags = [
      ...['--config', config, '--set', `model.depths=${JSON.stringify(depths)}`],
      ...['--set', `model.widths=${JSON.stringify(widths)}`, '--set', 'loss.numMatches=[3,2]', '--set', 'epochs=1'],
    ];
    const dry = await vicregl('train', ...flags, '--init', file, '--dry-run', '--out', join(scratch, 'dry'));
    assert.equal(dry.code, 0, dry.stderr);
    const listed = [
      /^starts from the weights of train_convnext_adamw\.pth: backbone \((\d+) of \1 tensors\)/m,
      /^drawn: projector: projector\.0\.weight is \[/m,
      /^not used: classifier \(2 tensors\): /m,
    ];
    for (const line of listed) assert.match(dry.stdout, line);
    assert.ok(!(await readdir(join(scratch, 'dry'))).includes('checkpoints'));

    const made = await vicregl('train', ...flags, '--init', file, '--out', run);
    assert.equal(made.code, 0, made.stderr);
    for (const line of listed) assert.match(made.stderr, line);
    const again = await vicregl('train', '--out', run, '--resume', '--set', 'epochs=2');
    assert.equal(again.code, 0, again.stderr);
    const exported = await vicregl('export', run, '--out', join(scratch, 'tuned'));
    assert.equal(exported.code, 0, exported.stderr);
    const { training } = JSON.parse(await readFile(join(scratch, 'tuned', 'manifest.json'), 'utf8'));
    const sha256 = createHash('sha256')
      .update(await readFile(file))
      .digest('hex');
    const { file: name, sha256: sum, prefix } = training.init;
    assert.deepEqual([name, sum, prefix], ['train_convnext_adamw.pth', sha256, 'module.backbone.']);
    // A model given by its name.
    const byName = await vicregl('train', ...flags, '--init', 'vicregl-resnet18-half', '--dry-run', '--out', scratch);
    assert.match(byName.stderr, /nothing of the backbone in .*vicregl-resnet18-half, a resnet_basic, fits/);
  });

  test('errors are one clear line (for the configuration, one line per key) with exit code 1', async () => {
    const out = ['--out', join(scratch, 'refused')];
    const cases: [string[], RegExp][] = [
      [
        out,
        /^vicregl: --config FILE or --recipe NAME is required \(see recipes\/\), or --resume to continue a run .*\n$/,
      ],
      [
        ['--config', config, '--set', 'optimiser.lr=1', ...out],
        /^vicregl: --set optimiser\.lr=1: "optimiser" is no key; did you mean optimizer\?.*\n$/,
      ],
      [
        ['--config', config, '--set', 'threads=0', '--set', 'batchSize=1', ...out],
        /^vicregl: --set batchSize=1 --set threads=0 does not fit \S+tiny\.yaml:\n {2}batchSize: .*\n {2}threads: .*\n$/,
      ],
      [
        ['--recipe', 'resnet51', ...out],
        /^vicregl: there is no recipe "resnet51"; use one of .*resnet50-100ep.*, or --config FILE .*\n$/,
      ],
      [
        ['--resume', '--init', config, ...out],
        /^vicregl: --init cannot be combined with --resume: a resumed run continues from its own checkpoint; remove --init/,
      ],
      [['--config', config, '--init-prefix', 'ema', ...out], /^vicregl: --init-prefix requires --init /],
      [['--config', config, '--checkpoint', 'best', ...out], /^vicregl: --checkpoint requires --resume or --init/],
      [
        ['--config', config, '--init', 'nowhere.pth', ...out],
        /^vicregl: the weights to start from, nowhere\.pth, cannot be read: there is no such file or folder /,
      ],
      [['--config', config, '--init', config, ...out], /^vicregl: \S+tiny\.yaml is not a supported checkpoint: /],
      [
        ['--resume', '--config', config, ...out],
        /^vicregl: --resume uses the run's own .*config\.yaml; remove --config and --recipe .*\n$/,
      ],
    ];
    for (const [args, expected] of cases) {
      const { code, stdout, stderr } = await vicregl('train', ...args);
      assert.equal(code, 1, `${args.join(' ')}: ${stderr}`);
      assert.equal(stdout, '');
      assert.match(stderr, expected);
    }
    assert.ok(!(await readdir(scratch)).includes('refused'));
  });

  test('a loss that is not finite ends the run with exit code 1 and names the last good checkpoint', async () => {
    const run = join(scratch, 'diverged');
    const { code, stderr } = await vicregl(
      ...['train', '--config', config, '--set', 'optimizer.baseLr=1e30', '--set', 'checkpoints.every=1', '--out', run],
    );
    assert.equal(code, 1);
    assert.match(
      stderr,
      /\nvicregl: step 3: \w+ is NaN; training stopped, the checkpoint of step 1 is good\. Go on with .*\n$/,
    );
    assert.equal((await loadCheckpoint(run)).step, 1);
  });
});
