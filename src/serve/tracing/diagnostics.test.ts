import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDiagnostics } from './diagnostics.js';

function recorded() {
  const lines: string[] = [];
  let now = 0;
  const diagnostics = createDiagnostics(
    { warn: (_fields: object, text: string) => void lines.push(text) } as never,
    () => now,
  );
  return { lines, diagnostics, wait: (ms: number) => (now += ms) };
}

test('a kind of message is logged once a minute, whatever its numbers', () => {
  const { lines, diagnostics, wait } = recorded();
  diagnostics.warn('Dropped 5 spans');
  diagnostics.warn('Dropped 17 spans');
  diagnostics.error('another');
  wait(60_000);
  diagnostics.warn('Dropped 3 spans');
  assert.deepEqual(lines, ['Dropped 5 spans', 'another', 'Dropped 3 spans']);
});

test('passwords in URLs are not logged, and long messages are cut', () => {
  const { lines, diagnostics } = recorded();
  diagnostics.warn("could not parse 'https://user:secret@collector:4318'");
  diagnostics.warn('x'.repeat(10_000));
  diagnostics.info('not a warning');
  assert.deepEqual(lines[0], "could not parse 'https://[redacted]@collector:4318'");
  assert.equal(lines[1]!.length, 500);
  assert.equal(lines.length, 2);
});
