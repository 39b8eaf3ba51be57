import { VicreglError } from './vicreglError.js';

const MAX_UINT32 = 2 ** 32 - 1;

/**
 * Checks a number for a uint32 field: protobuf would silently truncate fractions and wrap larger numbers.
 * @throws VicreglError `INVALID_ARGUMENT` naming the field.
 */
export function uint32(field: string, value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= MAX_UINT32) return value;
  throw new VicreglError('INVALID_ARGUMENT', `${field}: ${value} must be a whole number between 0 and ${MAX_UINT32}`);
}

/** Checks the numbers of a message with only uint32 fields; `field` is the message's name. */
export function uint32Fields<T extends Readonly<Record<string, number>>>(field: string, values: T): T {
  for (const [name, value] of Object.entries(values)) uint32(`${field}.${name}`, value);
  return values;
}
