import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denseOptions, parseTiles, parseUpsample } from './denseFlags.js';

test('--upsample is a factor or rows and columns', () => {
  assert.equal(parseUpsample('4'), 4);
  assert.deepEqual(parseUpsample('56x80'), { rows: 56, columns: 80 });
  for (const text of ['0', '1.5', '-2', '4x', '0x8', '8x0', '', '4 x 5', '1e3']) {
    assert.throws(() => parseUpsample(text), /whole FACTOR of at least 1, or ROWSxCOLUMNS/, text);
  }
});

test('--tiles is a side or a size, with an optional overlap', () => {
  assert.deepEqual(parseTiles('640'), { width: 640 });
  assert.deepEqual(parseTiles('640,0'), { width: 640, overlap: 0 });
  assert.deepEqual(parseTiles('640x480,128'), { width: 640, height: 480, overlap: 128 });
  for (const text of ['0', '640x', 'x480', '640,', '640,-1', '640x480x3', '']) {
    assert.throws(() => parseTiles(text), /SIDE or WIDTHxHEIGHT/, text);
  }
});

test('without the flags there are no options', () => {
  assert.deepEqual(denseOptions({}), {});
  assert.deepEqual(denseOptions({ upsample: 2, tiles: { width: 64 } }), { upsample: 2, tiles: { width: 64 } });
});
