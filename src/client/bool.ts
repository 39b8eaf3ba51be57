import { VicreglError } from './vicreglError.js';

/**
 * Checks a value that is true or false: protobuf would take any text, such as 'false', as true.
 * @throws VicreglError `INVALID_ARGUMENT` naming the field.
 */
export function bool(field: string, value: boolean): boolean {
  if (typeof value === 'boolean') return value;
  throw new VicreglError('INVALID_ARGUMENT', `${field}: ${String(value)} must be true or false`);
}
