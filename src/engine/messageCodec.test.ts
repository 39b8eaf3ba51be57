import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { tensor } from '../tensor/tensor.js';
import { createMessageReader, type Message, writeMessage } from './messageCodec.js';

interface Facts {
  readonly name: string;
}

/** The bytes of messages, as a peer sends them. */
function bytesOf(...messages: Message<Facts>[]): Buffer {
  const stream = new PassThrough({ highWaterMark: 1 << 24 });
  for (const { facts, tensors } of messages) writeMessage(stream, facts, tensors);
  return stream.read() as Buffer;
}

const images = tensor(
  'uint8',
  [1, 1, 3, 3],
  Uint8Array.from({ length: 9 }, (_, i) => i),
);
const maps = tensor('float32', [2, 3], Float32Array.of(1, -0, Number.NaN, Number.POSITIVE_INFINITY, 1e-40, 7));
const distances = tensor('float64', [2], Float64Array.of(0.1, 1e300));
const indices = tensor('int32', [1], Int32Array.of(-5));
const sent: Message<Facts>[] = [
  { facts: { name: 'Größe "1"\n' }, tensors: { images, distances, maps, indices } },
  { facts: { name: 'without tensors' }, tensors: {} },
  { facts: { name: 'empty' }, tensors: { none: tensor('float32', [0, 8], new Float32Array(0)) } },
];

describe('frames', () => {
  it('carry messages and their tensors, however the stream is split into chunks', () => {
    const bytes = bytesOf(...sent);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: bytes.length - 1 }), { maxLength: 40 }), (cuts) => {
        const got: Message<Facts>[] = [];
        const read = createMessageReader<Facts>((message) => got.push(message));
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        for (const [i, start] of at.slice(0, -1).entries()) read(bytes.subarray(start, at[i + 1]));
        assert.deepEqual(got, sent);
      }),
    );
  });

  it('view tensors in the memory of their message, which is not shared', () => {
    const got: Message<Facts>[] = [];
    const read = createMessageReader<Facts>((message) => got.push(message));
    read(bytesOf(sent[0]!, sent[0]!));
    const [first, second] = got.map(({ tensors }) => tensors);
    assert.equal(first!['maps']!.data.buffer, first!['images']!.data.buffer);
    assert.notEqual(first!['maps']!.data.buffer, second!['maps']!.data.buffer);
  });
});
