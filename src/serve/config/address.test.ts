import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collide, parseAddress } from './address.js';

test('HOST:PORT, also with IPv6', () => {
  assert.deepEqual(parseAddress('127.0.0.1:0', 'address'), { host: '127.0.0.1', port: 0 });
  assert.deepEqual(parseAddress('[::1]:50051', 'address'), { host: '[::1]', port: 50051 });
});

test('anything else is an error that names the option', () => {
  for (const wrong of ['', 'localhost', ':50051', '127.0.0.1:70000', 'a:b:1', 'http://x:1']) {
    assert.throws(() => parseAddress(wrong, 'metrics address'), /^ServeError: metrics address: ".*" is not HOST:PORT/);
  }
});

test('two addresses collide if they have one port, and one host or a host that stands for all', () => {
  for (const [one, other] of [
    ['127.0.0.1:9464', '127.0.0.1:09464'],
    ['localhost:1', 'LOCALHOST:1'],
    ['0.0.0.0:1', '127.0.0.1:1'],
    ['[::]:1', '127.0.0.1:1'],
    ['[::]:1', '0.0.0.0:1'],
    ['[::]:1', '[::1]:1'],
    ['[::]:1', 'localhost:1'],
  ] as const) {
    assert.ok(collide(one, other) && collide(other, one), `${one} ${other}`);
  }
  for (const [one, other] of [
    ['127.0.0.1:1', '127.0.0.1:2'],
    ['127.0.0.1:0', '127.0.0.1:0'],
    ['127.0.0.1:1', '127.0.0.2:1'],
    ['0.0.0.0:1', '[::1]:1'],
    ['off', 'off'],
    ['off', '127.0.0.1:1'],
    ['nowhere', 'nowhere'],
  ] as const) {
    assert.ok(!collide(one, other) && !collide(other, one), `${one} ${other}`);
  }
});
