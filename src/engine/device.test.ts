import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Device, deviceName, deviceProblem, readDevice } from './device.js';

test('a device is auto, cpu, cuda, or cuda with the numbers of devices', () => {
  const parts = ['auto', 'cpu', 'cuda', 'cuda:3', 'cuda:0,1,12'].map((text) => {
    assert.equal(deviceProblem(text), undefined, text);
    return readDevice(text as Device);
  });
  assert.deepEqual(parts, [
    { kind: 'auto', ids: [] },
    { kind: 'cpu', ids: [] },
    { kind: 'cuda', ids: [] },
    { kind: 'cuda', ids: [3] },
    { kind: 'cuda', ids: [0, 1, 12] },
  ]);
  for (const text of ['gpu', 'cpu:0', 'auto:1', 'cuda:', 'cuda:a', 'cuda:0,', 'cuda:-1', 'cuda:0, 1', 'CUDA', '']) {
    assert.match(deviceProblem(text) ?? '', /such as cuda:0,1/, text);
  }
  assert.match(deviceProblem('cuda:1,0,1') ?? '', /names device 1 twice/);
  assert.deepEqual([deviceName('cpu'), deviceName('cuda'), deviceName('cuda', 2)], ['cpu', 'cuda:0', 'cuda:2']);
});
