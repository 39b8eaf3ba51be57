import { VicreglError } from './vicreglError.js';

/** The kind of a value, such as Float32Array, for messages. */
export const kindOf = (value: unknown): string => Object.prototype.toString.call(value).slice('[object '.length, -1);

/**
 * Checks bytes: of any other list of numbers, such as colours from 0 to 1, protobuf would take the whole parts.
 * @throws VicreglError `INVALID_ARGUMENT` naming the field.
 */
export function bytes(field: string, value: Uint8Array): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new VicreglError(
    'INVALID_ARGUMENT',
    `${field}: a value of type ${kindOf(value)} is not bytes; give a Uint8Array`,
  );
}
