import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serveToTheEnd } from './shutdown.js';

const logger = { info: () => {}, warn: () => {} };

test('a dead engine closes the server and says so, and leaves no listener behind', async () => {
  const listeners = process.listenerCount('SIGTERM');
  let closed = 0;
  const close = async () => {
    closed++;
  };
  const ended = serveToTheEnd({ close, failed: Promise.resolve(new Error('gone')) }, logger);
  assert.equal(process.listenerCount('SIGTERM'), listeners + 1);
  assert.equal(await ended, 'engine died');
  assert.equal(closed, 1);
  assert.equal(process.listenerCount('SIGTERM'), listeners);
});

test('a signal closes the server', async () => {
  const ended = serveToTheEnd({ close: async () => {}, failed: new Promise(() => {}) }, logger);
  process.emit('SIGTERM');
  assert.equal(await ended, 'signal');
});
