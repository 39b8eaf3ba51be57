import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from './address.js';

test('HOST:PORT, also with IPv6', () => {
  assert.deepEqual(parseAddress('127.0.0.1:0', 'address'), { host: '127.0.0.1', port: 0 });
  assert.deepEqual(parseAddress('[::1]:50051', 'address'), { host: '[::1]', port: 50051 });
});

test('anything else is an error that names the option', () => {
  for (const wrong of ['', 'localhost', ':50051', '127.0.0.1:70000', 'a:b:1', 'http://x:1']) {
    assert.throws(() => parseAddress(wrong, 'metrics address'), /^ServeError: metrics address: ".*" is not HOST:PORT/);
  }
});
