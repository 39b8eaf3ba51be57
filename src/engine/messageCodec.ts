/**
 * Messages with tensors over a byte stream: uint32 length of the head, uint32 length of the body, the head as JSON, then the
 * bytes of the tensors, each aligned to 8 bytes, so that the receiver views them without a copy.
 */

import type { Writable } from 'node:stream';
import { type DType, elementBytes, elementCount, type Tensor, tensorBytes, tensorFromBytes } from '../tensor/tensor.js';

/** Tensors of a message by name. */
export type NamedTensors = Readonly<Record<string, Tensor>>;

export interface Message<Facts> {
  readonly facts: Facts;
  readonly tensors: NamedTensors;
}

interface Head<Facts> {
  readonly facts: Facts;
  readonly tensors: readonly { readonly name: string; readonly dtype: DType; readonly shape: readonly number[] }[];
}

const PREFIX_BYTES = 8;
const ALIGNMENT = 8;
const padding = Buffer.alloc(ALIGNMENT);

const padded = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/**
 * Writes one message. Tensors are not copied: they must not change until the peer has responded.
 * @throws RangeError if the tensors are 4 GiB or more.
 */
export function writeMessage<Facts>(stream: Writable, facts: Facts, tensors: NamedTensors = {}): void {
  const entries = Object.entries(tensors);
  const head: Head<Facts> = {
    facts,
    tensors: entries.map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
  };
  const json = Buffer.from(JSON.stringify(head));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32LE(json.length, 0);
  prefix.writeUInt32LE(
    entries.reduce((sum, [, { data }]) => sum + padded(data.byteLength), 0),
    4,
  );
  stream.cork();
  stream.write(Buffer.concat([prefix, json]));
  for (const [, value] of entries) {
    const bytes = tensorBytes(value);
    stream.write(bytes);
    stream.write(padding.subarray(0, padded(bytes.length) - bytes.length));
  }
  stream.uncork();
}

function viewTensors({ tensors }: Head<unknown>, body: Buffer): NamedTensors {
  const result: Record<string, Tensor> = {};
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    const bytes = elementCount(shape) * elementBytes(dtype);
    result[name] = tensorFromBytes(dtype, shape, body.subarray(offset, offset + bytes));
    offset += padded(bytes);
  }
  return result;
}

/** Assembles messages from the chunks of a stream. @returns the function that takes the next chunk */
export function createMessageReader<Facts>(onMessage: (message: Message<Facts>) => void): (chunk: Buffer) => void {
  let part: 'prefix' | 'head' | 'body' = 'prefix';
  // Not from Node's buffer pool, whose slices have any alignment: tensors are viewed in place.
  let target = Buffer.allocUnsafeSlow(PREFIX_BYTES);
  let filled = 0;
  let bodyBytes = 0;
  let head: Head<Facts> | undefined;

  function next(to: typeof part, bytes: number): void {
    part = to;
    target = Buffer.allocUnsafeSlow(bytes);
    filled = 0;
  }

  function complete(): void {
    if (part === 'prefix') {
      bodyBytes = target.readUInt32LE(4);
      next('head', target.readUInt32LE(0));
    } else if (part === 'head') {
      head = JSON.parse(target.toString()) as Head<Facts>;
      next('body', bodyBytes);
      if (bodyBytes === 0) complete();
    } else {
      const message = { facts: head!.facts, tensors: viewTensors(head!, target) };
      next('prefix', PREFIX_BYTES);
      onMessage(message);
    }
  }

  return (chunk) => {
    let offset = 0;
    while (offset < chunk.length) {
      const copied = chunk.copy(target, filled, offset);
      offset += copied;
      filled += copied;
      if (filled === target.length) complete();
    }
  };
}
