import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { reportMarkdown } from '../../scripts/cuda/cardReport.js';
import { runSections, type Section } from '../../scripts/cuda/sections.js';

const section = (name: string, code: string, more: Partial<Section> = {}): Section => ({
  ...{ name, title: `Of ${name}`, command: process.execPath, args: ['-e', code], budget: 20 },
  ...more,
});
const print = (...values: readonly unknown[]) =>
  values.map((value) => `console.log(${JSON.stringify(JSON.stringify(value))});`).join('');
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('sections of a report', () => {
  it('run in separate processes: one that fails or hangs keeps its output and does not affect the others', async () => {
    const hangs = `const { spawn } = require('node:child_process');
      const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
      console.log(JSON.stringify({ pid: child.pid }));
      process.on('SIGTERM', () => {});
      setInterval(() => {}, 1000);`;
    const told: string[] = [];
    const results = await runSections(
      [
        section('good', print({ a: 1 }, { a: 2 })),
        section('bad', `${print({ a: 3 })} console.error('a reason'); process.exitCode = 3;`),
        section('slow', hangs, { budget: 2 }),
        section('absent', '', { command: '/nowhere/at-all' }),
        section('crash', 'process.abort()'),
        section(
          'last',
          `console.log(JSON.stringify([process.env.OWN, process.env.ORT_DISABLE_TELEMETRY], undefined, 2))`,
          {
            environment: { OWN: 'x' },
          },
        ),
      ],
      5,
      ({ name, status }) => told.push(`${name} ${status}`),
    );
    assert.deepEqual(told, ['good ok', 'bad failed', 'slow out of time', 'absent failed', 'crash failed', 'last ok']);
    const [good, bad, slow, absent, crash, last] = results;
    assert.deepEqual(good!.data, [{ a: 1 }, { a: 2 }]);
    assert.deepEqual([bad!.data, bad!.error], [[{ a: 3 }], 'exit code 3: a reason']);
    assert.match(slow!.error!, /^took longer than 2 s/);
    assert.match(absent!.error!, /ENOENT/);
    assert.match(crash!.error!, /signal SIGABRT/);
    assert.equal((last!.data[0] as string[])[0], 'x');
    assert.ok((last!.data[0] as string[])[1]);
    const { pid } = slow!.data[0] as { pid: number };
    assert.ok(!isAlive(pid), 'what a section started ends with it');
  });

  it('are skipped if a required section has failed or the time is over', async () => {
    const blocked = await runSections(
      [section('base', 'process.exitCode = 1', { needed: true }), section('rest', print(1))],
      5,
    );
    assert.deepEqual(
      blocked.map(({ status }) => status),
      ['failed', 'skipped'],
    );
    assert.match(blocked[1]!.error!, /"base" failed/);
    const [late] = await runSections([section('late', print(1))], 0.001);
    assert.deepEqual([late!.status, late!.error], ['skipped', 'the 0.001 minutes are over']);
  });

  it('are written as Markdown: failures first, then a table of the output of each', async () => {
    const sections = await runSections(
      [
        section('good', print({ a: 'x|y', b: { c: 1 } }, { a: 2 })),
        section('bad', `console.error('why'); process.exit(1)`),
      ],
      5,
    );
    const text = reportMarkdown({
      ...{ date: '2026-01-02T03:04:05.000Z', device: 'cuda', quick: false, versions: { node: 'v20' }, seconds: 7 },
      sections,
    });
    assert.match(text, /^# First run on a card, 2026-01-02\n\n- device: cuda\n- node: v20\n- seconds: 7\n/);
    assert.match(text, /\n1 of 2 sections are not ok: bad \(failed\)\.\n/);
    assert.ok(text.includes('| a | b |\n| --- | --- |\n| x\\|y | {"c":1} |\n| 2 |  |\n'), text);
    assert.match(text, /## Of bad\n\nfailed, [\d.]+ s\n\n```text\nexit code 1: why\n```/);
  });
});
