/** A JSON value is not a message of the expected type. The message begins with the path of the field. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
  /** Whether the text is over a limit, and thus too large rather than wrong. */
  readonly tooLarge: boolean;

  constructor(message: string, tooLarge = false) {
    super(message);
    this.tooLarge = tooLarge;
  }
}

/** A value for an error message; long ones are cut. */
export function shown(value: unknown): string {
  const text = value instanceof Uint8Array ? `${value.byteLength} bytes` : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** @param path of the field; '' for the message itself */
export function jsonError(path: string, problem: string): JsonError {
  return new JsonError(path === '' ? problem : `${path}: ${problem}`);
}

/** Limits of a JSON text. */
export interface JsonLimits {
  /** Maximum nesting of objects and lists. */
  readonly depth: number;
  /** Maximum number of values. */
  readonly values: number;
}
