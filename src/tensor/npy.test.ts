import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeNpy } from './npy.js';
import { tensor } from './tensor.js';

test('a .npy file consists of magic, a padded header and the data', () => {
  const bytes = encodeNpy(tensor('float32', [2, 1], Float32Array.of(1, 2)));
  const text = Buffer.from(bytes).toString('latin1');
  assert.equal(text.slice(0, 8), '\x93NUMPY\x01\x00');
  assert.match(text, /\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 1\), \} *\n/);
  const start = text.indexOf('\n') + 1;
  assert.equal(start % 64, 0);
  assert.deepEqual(Buffer.from(bytes.subarray(start)), Buffer.from(Float32Array.of(1, 2).buffer));
});

test('the shape of a vector has the trailing comma of a Python tuple', () => {
  const text = Buffer.from(encodeNpy(tensor('uint8', [3], Uint8Array.of(1, 2, 3)))).toString('latin1');
  assert.ok(text.includes("'descr': '|u1'"));
  assert.ok(text.includes("'shape': (3,)"));
});
