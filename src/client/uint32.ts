import { VicreglError } from './vicreglError.js';

const MAX_UINT32 = 2 ** 32 - 1;

const isUint = (value: number, largest: number): boolean => Number.isInteger(value) && value >= 0 && value <= largest;

/**
 * Checks a number for a uint32 field: protobuf would silently truncate fractions and wrap larger numbers.
 * @param largest a smaller bound, such as that of timers
 * @throws VicreglError `INVALID_ARGUMENT` naming the field.
 */
export function uint32(field: string, value: number, largest = MAX_UINT32): number {
  if (isUint(value, largest)) return value;
  throw new VicreglError(
    'INVALID_ARGUMENT',
    `${field}: ${String(value)} must be a whole number between 0 and ${largest}`,
  );
}

/** Checks the numbers of a list, as `uint32`. */
export function uint32List(field: string, values: readonly number[]): number[] {
  // The name of a number is made only where it is wrong: run lengths may be millions.
  return Array.from(values, (value, i) => (isUint(value, MAX_UINT32) ? value : uint32(`${field}[${i}]`, value)));
}

/** Checks the numbers of a message with only uint32 fields; `field` is the message's name. */
export function uint32Fields<T extends Readonly<Record<string, number>>>(field: string, values: T): T {
  for (const [name, value] of Object.entries(values)) uint32(`${field}.${name}`, value);
  return values;
}
