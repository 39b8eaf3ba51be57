import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { until } from '../../../test/support/until.js';
import { LogOutput } from './logOutput.js';

describe('the output of the log', () => {
  let scratch: string;
  let path: string;
  let fd: number;
  let files = 0;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-log-output-'));
  });
  beforeEach((t) => {
    path = join(scratch, `${files++}.jsonl`);
    const opened = openSync(path, 'w');
    fd = opened;
    (t as import('node:test').TestContext).after(() => closeSync(opened));
  });
  after(() => rm(scratch, { recursive: true }));

  const text = () => readFileSync(path, 'utf8');

  test('writes lines in order, short ones after a moment and long ones at once', async () => {
    const output = new LogOutput(fd);
    output.write('a\n');
    output.write('ä\n');
    assert.equal(text(), '');
    await until(async () => text() === 'a\nä\n');
    const long = `${'b'.repeat(5000)}\n`;
    output.write(long);
    output.write('c\n');
    output.write(long);
    await until(async () => text() === `a\nä\n${long}c\n${long}`);
  });

  test('writes the rest when it is told to', async () => {
    const output = new LogOutput(fd);
    output.write('a\n');
    output.write('b\n');
    output.flushSync();
    assert.equal(text(), 'a\nb\n');
    output.flushSync();
    assert.equal(text(), 'a\nb\n');
  });

  test('drops lines over its bytes, says how many, and goes on', async () => {
    const output = new LogOutput(fd, { maxBytes: 10_000 });
    const line = `${'a'.repeat(4999)}\n`;
    for (let i = 0; i < 5; i++) output.write(line);
    await until(async () => text().includes('dropped'));
    output.write('b\n');
    output.flushSync();
    const lines = text().trimEnd().split('\n');
    assert.deepEqual(lines.slice(0, 2), [line.trimEnd(), line.trimEnd()]);
    const { time, ...entry } = JSON.parse(lines[2]!) as Record<string, unknown>;
    assert.equal(typeof time, 'number');
    assert.deepEqual(entry, {
      level: 40,
      pid: process.pid,
      dropped: 3,
      msg: '3 log lines were dropped: the reader of the log is too slow',
    });
    assert.deepEqual(lines.slice(3), ['b']);
  });

  test('discards what cannot be written, without an error', async () => {
    const full = openSync('/dev/full', 'w');
    const output = new LogOutput(full);
    output.write(`${'a'.repeat(5000)}\n`);
    output.write('b\n');
    output.flushSync();
    await new Promise((resolve) => setTimeout(resolve, 0));
    output.write('c\n');
    output.flushSync();
    closeSync(full);
  });
});
