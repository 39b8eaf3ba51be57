import type protobuf from 'protobufjs';
import { messagePlan } from '../../proto/json/messagePlan.js';
import { messageJson } from '../../proto/json/toJson.js';
import { type DType, type Tensor, tensorFromBytes } from '../../tensor/tensor.js';

/** A tensor of a response by its name in an archive. */
export interface NamedTensor extends Tensor {
  readonly name: string;
}

const dtypes: Readonly<Record<number, DType>> = { 1: 'float32', 2: 'float16', 3: 'int8' };

interface WireTensor {
  readonly dtype: number;
  readonly shape: number[];
  readonly data: Uint8Array;
  readonly scales: Uint8Array;
}

function namedTensors(name: string, { dtype, shape, data, scales }: WireTensor): NamedTensor[] {
  const elements = { name, ...tensorFromBytes(dtypes[dtype]!, shape, data) };
  // A field that was not sent is an empty list.
  if (scales.length === 0) return [elements];
  // One scale for each vector along the last dimension.
  return [elements, { name: `${name}_scales`, ...tensorFromBytes('float32', shape.slice(0, -1), scales) }];
}

/**
 * Takes the tensors out of an encoded response.
 * @returns the tensors by the names of their fields, or `stage_N` for the maps of stages; and the rest of the response as JSON
 */
export function takeTensors(
  type: protobuf.Type,
  encoded: Uint8Array,
): { readonly tensors: readonly NamedTensor[]; readonly rest: Readonly<Record<string, unknown>> } {
  const tensors: NamedTensor[] = [];

  function take(of: protobuf.Type, message: Record<string, unknown>, prefix: string): void {
    for (const { name, message: inner, repeated, map } of messagePlan(of).fields) {
      if (!inner || map || !Object.hasOwn(message, name)) continue;
      if (inner.name === 'Tensor') {
        // The map of a stage has the name of the stage alone.
        const own = prefix !== '' && name === 'features' ? prefix.slice(0, -1) : `${prefix}${name}`;
        tensors.push(...namedTensors(own, message[name] as WireTensor));
        delete message[name];
        continue;
      }
      const entries = (repeated ? message[name] : [message[name]]) as Record<string, unknown>[];
      for (const entry of entries) {
        take(inner, entry, `${prefix}${'stage' in entry ? `stage_${String(entry['stage'])}` : name}_`);
      }
    }
  }

  const message = type.decode(encoded) as unknown as Record<string, unknown>;
  take(type, message, '');
  return { tensors, rest: messageJson(type, message) };
}
