import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type DType,
  elementBytes,
  elementCount,
  stack,
  tensor,
  tensorBytes,
  tensorFromBytes,
  zeros,
} from './tensor.js';

const widths: Record<DType, number> = {
  float32: 4,
  float64: 8,
  float16: 2,
  int32: 4,
  int64: 8,
  int8: 1,
  uint8: 1,
  bool: 1,
};

describe('tensor', () => {
  it('counts the elements of a shape: one for a scalar, none if a dimension is 0', () => {
    assert.deepEqual([[], [3], [2, 3, 4], [2, 0, 4]].map(elementCount), [1, 3, 24, 0]);
  });

  it('rejects data of the wrong length, naming the shape', () => {
    assert.throws(() => tensor('float32', [2, 3], new Float32Array(5)), {
      name: 'RangeError',
      message: 'tensor of shape [2, 3] needs 6 elements, got 5',
    });
  });

  for (const [dtype, width] of Object.entries(widths) as [DType, number][]) {
    it(`${dtype}: zeros, bytes and views have ${width} bytes per element`, () => {
      assert.equal(elementBytes(dtype), width);
      const value = zeros(dtype, [2, 3]);
      assert.equal(tensorBytes(value).byteLength, 6 * width);
      assert.ok(value.data.every((element) => Number(element) === 0));
      assert.throws(() => tensorFromBytes(dtype, [2, 3], new Uint8Array(6 * width - 1)), {
        name: 'RangeError',
        message: `${dtype} tensor of shape [2, 3] needs ${6 * width} bytes, got ${6 * width - 1}`,
      });
    });
  }

  it('views aligned bytes without a copy', () => {
    const buffer = new ArrayBuffer(16);
    const value = tensorFromBytes('float32', [2], new Uint8Array(buffer, 4, 8));
    value.data[1] = 1;
    assert.deepEqual([...new Uint8Array(buffer)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0]);
    assert.equal(tensorBytes(value).byteOffset, 4);
  });

  it('copies unaligned bytes, also of a Buffer', () => {
    const buffer = Uint8Array.of(0xee, 0, 0, 0x80, 0x3f, 0xee).buffer;
    for (const bytes of [new Uint8Array(buffer, 1, 4), Buffer.from(buffer, 1, 4)]) {
      const value = tensorFromBytes('float32', [1], bytes);
      bytes[3] = 0xbf;
      assert.deepEqual([...value.data], [1]);
      bytes[3] = 0x3f;
    }
  });

  it('stacks tensors of equal shape and any dtype along a new first axis', () => {
    const rows = [1, 2, 3].map((value) => tensor('int64', [2], BigInt64Array.of(BigInt(value), 0n)));
    const stacked = stack(rows);
    assert.deepEqual(
      [stacked.dtype, stacked.shape, [...stacked.data].map(Number)],
      ['int64', [3, 2], [1, 0, 2, 0, 3, 0]],
    );
    assert.deepEqual(stack([zeros('float32', [])]).shape, [1]);
    assert.throws(
      () => stack([zeros('float32', [2]), zeros('float32', [1, 2])]),
      /float32 \[1, 2\] differs from float32 \[2\]/,
    );
    assert.throws(() => stack([]), /at least one/);
  });
});
