import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentGrid } from '../../../../test/support/sentGrid.js';
import { turnsWhile } from '../../../../test/support/turnsWhile.js';
import type { Tensor__Output } from '../../../proto/generated/vicregl/v1/Tensor.js';
import { float16ToFloat32 } from '../../../tensor/float16.js';
import { readSentFeatures } from './sentFeatures.js';

/** Enough for several slices, of which the last is not full. */
const [rows, columns, channels] = [51, 53, 384];
const count = rows * columns * channels;
const { signal } = new AbortController();

const bytesOf = ({ buffer }: { readonly buffer: ArrayBufferLike }): Buffer => Buffer.from(buffer);

/** The bytes of a field at any offset in a message. */
function unaligned(bytes: Uint8Array): Buffer {
  const shifted = Buffer.alloc(bytes.length + 1).subarray(1);
  shifted.set(bytes);
  return shifted;
}

function sent(
  features: Omit<Tensor__Output, 'shape' | 'scales'> & { scales?: Buffer },
  shape = [rows, columns, channels],
) {
  return { features: { scales: Buffer.alloc(0), ...features, shape }, grid: sentGrid(rows, columns) };
}

const floats = Float32Array.from({ length: count }, (_, i) => Math.sin(i) * 10);
const halves = Uint16Array.from({ length: count }, (_, i) => (i * 7919) % 0x7c00);
const integers = Int8Array.from({ length: count }, (_, i) => ((i * 31) % 255) - 127);
const scales = Float32Array.from({ length: rows * columns }, (_, i) => Math.fround(0.1 + i / 1000));

test('numbers of every type are read as they were sent, at any offset in the message', async () => {
  const cases = [
    [{ dtype: 'DATA_TYPE_FLOAT32', data: bytesOf(floats) }, floats],
    [{ dtype: 'DATA_TYPE_FLOAT16', data: bytesOf(halves) }, float16ToFloat32(halves)],
    [
      { dtype: 'DATA_TYPE_INT8', data: bytesOf(integers), scales: bytesOf(scales) },
      Float32Array.from(integers, (value, i) => value * scales[Math.floor(i / channels)]!),
    ],
  ] as const;
  for (const [features, expected] of cases) {
    const moved = {
      ...features,
      data: unaligned(features.data),
      ...('scales' in features && { scales: unaligned(features.scales) }),
    };
    for (const given of [features, moved]) {
      const { data, shape } = await readSentFeatures(sent(given), 'a.features', channels).read(signal);
      assert.deepEqual(shape, [rows, columns, channels]);
      assert.ok(Buffer.compare(bytesOf(data), bytesOf(expected)) === 0, features.dtype);
    }
  }
});

test('reading large maps does not block the event loop, and stops when the call is aborted', async () => {
  const { read } = readSentFeatures(
    sent({ dtype: 'DATA_TYPE_FLOAT32', data: bytesOf(floats) }),
    'a.features',
    channels,
  );
  const turns = await turnsWhile(() => read(signal));
  assert.ok(turns >= 3, `${turns} turns`);
  const controller = new AbortController();
  const reading = read(controller.signal);
  controller.abort(new Error('given up'));
  await assert.rejects(reading, /given up/);
});

test('vectors may be those of a stage of the model, and of no other length', () => {
  const [own, stage] = [4, 2];
  const of = (length: number) => {
    const features = {
      dtype: 'DATA_TYPE_FLOAT32',
      data: Buffer.alloc(3 * 5 * length * 4),
      scales: Buffer.alloc(0),
    } as const;
    return { features: { ...features, shape: [3, 5, length] }, grid: sentGrid(3, 5) };
  };
  assert.equal(readSentFeatures(of(own), 'a.features', own, [stage]).channels, own);
  assert.equal(readSentFeatures(of(stage), 'a.features', own, [stage]).channels, stage);
  assert.throws(() => readSentFeatures(of(3), 'a.features', own, [stage]), {
    code: 'invalid_argument',
    message:
      'a.features.features.shape: [3, 5, 3] is not [rows, columns, C] = [3, 5, 4] of the grid and of the model in this space',
  });
});

test('wrong sizes are rejected immediately, and numbers that are not finite when they are read', async () => {
  const of = (features: Parameters<typeof sent>[0], shape?: number[]) =>
    readSentFeatures(sent(features, shape), 'a.features', channels);
  const wrong = [
    [
      () => of({ dtype: 'DATA_TYPE_FLOAT32', data: bytesOf(floats) }, [rows, columns]),
      /^a\.features\.features\.shape: /,
    ],
    [
      () => of({ dtype: 'DATA_TYPE_FLOAT32', data: bytesOf(halves) }),
      /^a\.features\.features: float32 .* needs \d+ bytes/,
    ],
    [
      () => of({ dtype: 'DATA_TYPE_FLOAT16', data: bytesOf(floats) }),
      /^a\.features\.features: float16 .* needs \d+ bytes/,
    ],
    [() => of({ dtype: 'DATA_TYPE_INT8', data: bytesOf(floats) }), /^a\.features\.features: int8 .* needs \d+ bytes/],
    [
      () => of({ dtype: 'DATA_TYPE_INT8', data: bytesOf(integers), scales: bytesOf(scales).subarray(4) }),
      /^a\.features\.features: float32 tensor of shape \[2703\] needs 10812 bytes, got 10808/,
    ],
    [() => of({ dtype: 'DATA_TYPE_UNSPECIFIED', data: bytesOf(floats) }), /^a\.features\.features: dtype must be/],
  ] as const;
  for (const [read, message] of wrong) assert.throws(read, { code: 'invalid_argument', message });
  const bad = floats.slice();
  const at = count - 5;
  bad[at] = Number.NEGATIVE_INFINITY;
  await assert.rejects(of({ dtype: 'DATA_TYPE_FLOAT32', data: bytesOf(bad) }).read(signal), {
    code: 'invalid_argument',
    message: `a.features.features: element ${at} is -Infinity; all must be finite`,
  });
  // A scale with which a vector exceeds float32.
  const large = scales.slice();
  large[1] = 3e38;
  await assert.rejects(of({ dtype: 'DATA_TYPE_INT8', data: bytesOf(integers), scales: bytesOf(large) }).read(signal), {
    code: 'invalid_argument',
    message: /^a\.features\.features: element \d+ is -?Infinity/,
  });
});

test('a wrong shape is repeated in part, however long it is', () => {
  const shape = Array.from({ length: 100_000 }, (_, i) => i);
  assert.throws(
    () => readSentFeatures(sent({ dtype: 'DATA_TYPE_FLOAT32', data: Buffer.alloc(0) }, shape), 'a', channels),
    {
      code: 'invalid_argument',
      message: /^a\.features\.shape: \[0, 1, 2, 3, 4, 5, 6, 7\] is not \[rows, columns, C\] = /,
    },
  );
});
