import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { CardReport } from '../../scripts/cuda/cardReport.js';
import { long } from '../support/longTests.js';

const script = fileURLToPath(new URL('../../scripts/cuda/firstCard.js', import.meta.url));

it('the GPU check runs on the CPU with tiny sizes, and every section reports its measurements', long, async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'vicregl-first-card-'));
  try {
    const out = join(scratch, 'report');
    const flags = ['--device', 'cpu', '--quick', '--out', out, '--python', '/nowhere/python3'];
    const { status, stderr } = spawnSync(process.execPath, [script, ...flags], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const report = JSON.parse(await readFile(join(out, 'report.json'), 'utf8')) as CardReport;
    assert.deepEqual([report.device, report.quick], ['cpu', true]);
    assert.match(report.versions['onnxruntime-node']!, /^\d+\.\d+\.\d+$/);
    assert.deepEqual(
      report.sections.map(({ name, status: ended }) => `${name} ${ended}`),
      [
        'libraries ok',
        'device ok',
        'placement ok',
        'inference-float32 ok',
        'training-float32 ok',
        'training-fp16 ok',
        'depthwise ok',
        'step-smallest_resnet ok',
        'step-smallest_convnext ok',
        'service ok',
        'step-smallest_convnext-fp16 ok',
      ],
    );
    const rows = (name: string) =>
      report.sections.find((section) => section.name === name)!.data as readonly Record<string, unknown>[];
    assert.equal(rows('placement').length, 3);
    for (const row of rows('placement')) assert.ok((row['operators'] as number) > 50 && row['elsewhere'] === 0);
    const [agreement] = rows('inference-float32');
    assert.ok((agreement!['matches'] as number) > 0 && agreement!['same_matches'] === 1);
    // The graph for CUDA has other forms, so its rounding must differ.
    for (const row of rows('training-float32')) assert.ok((row['gradient_difference'] as number) > 0);
    for (const { ms } of rows('depthwise')) assert.deepEqual(Object.keys(ms as object), ['planes', 'rows']);
    assert.ok((rows('step-smallest_resnet')[0]!['step_s'] as number) > 0);
    assert.equal((rows('service')[0]!['loads'] as readonly unknown[]).length, 2);
    const text = await readFile(join(out, 'report.md'), 'utf8');
    assert.match(text, /^# First run on the CPU/);
    assert.match(text, /All 11 sections are ok\./);
    assert.match(text, /\| concurrency \| images\/s \|/);
  } finally {
    await rm(scratch, { recursive: true });
  }
});

it('the GPU check names a missing or wrong flag before it measures anything', () => {
  const refused = (...flags: readonly string[]) =>
    spawnSync(process.execPath, [script, ...flags], { encoding: 'utf8' }).stderr;
  assert.match(refused('--device', 'cpu'), /--out FOLDER is missing/);
  assert.match(refused('--out', 'x', '--device', 'tpu'), /--device is tpu; it is cpu or cuda/);
  assert.match(refused('--out', 'x', '--minutes', 'ten'), /--minutes is ten/);
});
