import assert from 'node:assert/strict';
import { test } from 'node:test';
import { l2Normalize } from '../../../featureOps/l2Normalize.js';
import { cutWindow, pickCells } from '../../../featureOps/selectCells.js';
import { float32ToFloat16 } from '../../../tensor/float16.js';
import { stream } from '../../../tensor/random.js';
import { runSync } from '../../../tensor/slices.js';
import { rows as rowsOf, type Tensor, tensor } from '../../../tensor/tensor.js';
import { tensorMessage } from './wireTensor.js';

/** A map of several slices, the last not full. */
const [rows, columns, channels] = [51, 53, 384];
const random = stream(3, 'map');
const map = tensor(
  'float32',
  [rows, columns, channels],
  Float32Array.from({ length: rows * columns * channels }, () => random.normal()),
);

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);

/** The result of steps that must have paused. */
function paused<T>(steps: Generator<void, T>): T {
  assert.equal(steps.next().done, false, 'a large map is not done at once');
  return runSync(steps);
}

/** The rows of the map one by one, each small enough for one slice. */
const singleRows = (of: Tensor<'float32'>): Tensor<'float32'>[] =>
  Array.from({ length: of.shape[0]! }, (_, row) => rowsOf(of, row, row + 1));

test('large maps are encoded in slices to the same bytes as row by row', () => {
  for (const dtype of ['float16', 'int8'] as const) {
    const whole = paused(tensorMessage(map, dtype));
    const parts = singleRows(map).map((row) => runSync(tensorMessage(row, dtype)));
    assert.deepEqual(whole.shape, [rows, columns, channels]);
    assert.ok(bytesOf(whole.data).equals(Buffer.concat(parts.map(({ data }) => data))), dtype);
    const scales = parts.map((part) => part.scales ?? Buffer.alloc(0));
    assert.ok(bytesOf(whole.scales ?? Buffer.alloc(0)).equals(Buffer.concat(scales)), `${dtype}: scales`);
  }
  assert.ok(bytesOf(runSync(tensorMessage(map, 'float16')).data).equals(bytesOf(float32ToFloat16(map.data))));
  const unit = paused(l2Normalize(map));
  const units = singleRows(map).map((row) => bytesOf(runSync(l2Normalize(row)).data));
  assert.ok(bytesOf(unit.data).equals(Buffer.concat(units)));
});

test('a number that float16 cannot hold is an error that names it and the way out; other types hold it', () => {
  const large = tensor('float32', [rows, columns, channels], map.data.slice());
  const at = 1_000_003;
  const asFloat16 = () => runSync(tensorMessage(large, 'float16'));
  large.data[at] = -65_519;
  assert.equal(new Uint16Array(asFloat16().data.slice().buffer)[at], 0xfbff);
  large.data[at] = -65_520;
  assert.throws(asFloat16, {
    name: 'ServeError',
    code: 'invalid_argument',
    message:
      'dtype: element 1000003 of the answer is -65520, and FLOAT16 reaches 65504; ask for FLOAT32 or INT8, or for vectors of ' +
      'length 1 (l2_normalize)',
  });
  for (const dtype of ['float32', 'int8'] as const) runSync(tensorMessage(large, dtype));
  assert.equal(runSync(tensorMessage(runSync(l2Normalize(large)), 'float16')).dtype, 'DATA_TYPE_FLOAT16');
});

test('large parts of a map contain its vectors, in slices', () => {
  const cut = paused(cutWindow(map, { firstRow: 1, firstColumn: 2, rows: 40, columns: 50 }));
  const cells = Array.from({ length: 2000 }, (_, i) => ({
    row: 1 + Math.floor(i / 50),
    column: 2 + (i % 50),
  }));
  const picked = paused(pickCells(map, cells));
  assert.ok(bytesOf(cut.data).equals(bytesOf(picked.data)));
  for (const [i, { row, column }] of [...cells.entries()].filter(([at]) => at % 97 === 0)) {
    const start = (row * columns + column) * channels;
    const expected = map.data.subarray(start, start + channels);
    assert.deepEqual(picked.data.subarray(i * channels, (i + 1) * channels), expected);
  }
});
