import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageMessage } from './image.js';
import { matchingMessage } from './options.js';
import { uint32 } from './uint32.js';

const rgb = new Uint8Array(3);

test('32-bit integers are accepted', () => {
  for (const value of [0, 20, 2 ** 32 - 1]) assert.equal(uint32('topGamma', value), value);
});

test('numbers that would overflow or be truncated are INVALID_ARGUMENT with the name of the field', () => {
  const wrong: [() => unknown, RegExp][] = [
    [() => matchingMessage({ topGamma: -1 }), /^topGamma: -1 must be a whole number between 0 and 4294967295/],
    [() => matchingMessage({ by: 'location', topGamma: 2.7 }), /^topGamma: 2\.7/],
    [() => matchingMessage({ topGamma: Number.NaN }), /^topGamma: NaN/],
    [() => imageMessage({ width: 2 ** 32, height: 1, rgb }, 'image'), /^image\.width: 4294967296/],
    [() => imageMessage({ pixels: { width: 1, height: -1, rgb } }, 'a'), /^a\.pixels\.height: -1/],
    [() => imageMessage({ crop: { left: -1, top: 0, width: 8, height: 8 } }, 'b'), /^b\.crop\.left: -1/],
    [() => imageMessage({ resize: { kind: 'fit', width: 64, height: 63.5 } }, 'a'), /^a\.resize\.height: 63\.5/],
    [() => imageMessage({ resize: { kind: 'shortestSide', resize: -256 } }, 'a'), /^a\.resize\.resize: -256/],
  ];
  for (const [act, message] of wrong) assert.throws(act, { name: 'VicreglError', code: 'INVALID_ARGUMENT', message });
});
