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

/** Maximum length of a value in an error message. */
const SHOWN_CHARACTERS = 60;

/** A value for an error message; long ones are cut. */
export function shown(value: unknown): string {
  // One character more than is shown, so that a text that is cut here is also marked as cut.
  const short = typeof value === 'string' ? value.slice(0, SHOWN_CHARACTERS + 1) : value;
  const text = short instanceof Uint8Array ? `${short.byteLength} bytes` : (JSON.stringify(short) ?? String(short));
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS - 3)}...` : text;
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
