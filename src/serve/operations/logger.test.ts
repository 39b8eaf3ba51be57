import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from './logger.js';

/** The line of one logged error. */
function lineOf(err: unknown): string {
  const lines: string[] = [];
  createLogger('info', { write: (line: string) => void lines.push(line) }).info({ err }, 'failed');
  assert.equal(lines.length, 1);
  return lines[0]!;
}

test('an error is logged with its type, message, stack, causes and fields', () => {
  const error = Object.assign(new TypeError('outer', { cause: new Error('inner') }), {
    code: 'bad',
    limit: { value: 3 },
  });
  const { err } = JSON.parse(lineOf(error)) as { err: Record<string, unknown> };
  assert.deepEqual(
    [err['type'], err['message'], err['code'], err['limit']],
    ['TypeError', 'outer: inner', 'bad', { value: 3 }],
  );
  assert.match(String(err['stack']), /^TypeError: outer\n {4}at [\s\S]*caused by: Error: inner/);
});

test('the line of an error is short, however much of a request its texts, lists and causes contain', () => {
  const text = 'x'.repeat(2_000_000);
  const nested: Record<string, unknown> = { text };
  nested['self'] = nested;
  const errors = [
    new Error(text),
    new Error('outer', { cause: new Error(text) }),
    Object.assign(new Error('fields'), {
      text,
      nested,
      [text]: 1,
      list: new Array(100_000).fill('element'),
      bytes: new Uint8Array(1_000_000),
    }),
    new AggregateError([new Error(text), new Error(text)], text),
  ];
  for (const error of errors) {
    const line = lineOf(error);
    assert.ok(line.length < 64_000, `${error.message.slice(0, 10)}: ${line.length} characters`);
  }
  const { err } = JSON.parse(lineOf(errors[0])) as { err: { message: string } };
  assert.equal(err.message, `${'x'.repeat(4096)}... (1995904 more characters)`);
});

test('an error has no secrets', () => {
  assert.doesNotMatch(lineOf(Object.assign(new Error('no'), { token: 's3cret' })), /s3cret/);
});
