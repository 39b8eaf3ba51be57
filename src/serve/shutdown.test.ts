import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serveUntilSignal } from './shutdown.js';

const logger = { info: () => {}, warn: () => {} };

test('a signal closes the server, and no listener remains', async () => {
  const listeners = process.listenerCount('SIGTERM');
  let closed = 0;
  const close = async () => {
    closed++;
  };
  const ended = serveUntilSignal({ close }, logger);
  assert.equal(process.listenerCount('SIGTERM'), listeners + 1);
  process.emit('SIGTERM');
  await ended;
  assert.equal(closed, 1);
  assert.equal(process.listenerCount('SIGTERM'), listeners);
});
