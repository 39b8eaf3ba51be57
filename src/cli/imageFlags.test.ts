import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCrop, parseResize } from './imageFlags.js';

test('resize policies', () => {
  assert.deepEqual(parseResize('native'), { kind: 'native' });
  assert.deepEqual(parseResize('fit:640x480'), { kind: 'fit', width: 640, height: 480 });
  assert.deepEqual(parseResize('shortest:256,224'), { kind: 'shortestSide', resize: 256, crop: 224 });
  assert.deepEqual(parseResize('shortest:224'), { kind: 'shortestSide', resize: 224 });
  const zeros = ['shortest:0', 'shortest:0,64', 'shortest:64,0', 'fit:0x32', 'fit:32x0'];
  for (const wrong of ['', 'fit', 'fit:640', 'shortest', 'large', ...zeros])
    assert.throws(() => parseResize(wrong), /must be/);
});

test('crops', () => {
  assert.deepEqual(parseCrop('1,2,30,40'), { left: 1, top: 2, width: 30, height: 40, flip: false });
  assert.equal(parseCrop('1,2,30,40,flip').flip, true);
  for (const wrong of ['', '1,2,3', '-1,2,3,4', '1,2,3,4,5']) assert.throws(() => parseCrop(wrong), /must be/);
});
