import { JsonError, type JsonLimits, jsonError } from './jsonError.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Index behind the text that begins after a quote; texts are most of a body, and are searched natively. */
function endOfText(bytes: Buffer, from: number): number {
  for (let at = from; ; ) {
    const quote = bytes.indexOf(QUOTE, at);
    if (quote === -1) return bytes.byteLength;
    let slashes = 0;
    while (quote - slashes > from && bytes[quote - slashes - 1] === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return quote + 1;
    at = quote + 1;
  }
}

/** Counts depth and values of a text before it is parsed, since a value uses up to a hundred times its bytes. */
function checkLimits(bytes: Buffer, { depth: deepest, values: most }: JsonLimits): void {
  let depth = 0;
  let values = 1;
  for (let i = 0; i < bytes.byteLength; ) {
    const byte = bytes[i]!;
    if (byte === QUOTE) {
      i = endOfText(bytes, i + 1);
      continue;
    }
    i++;
    if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      depth++;
      values++;
      if (depth > deepest) throw jsonError('', `the JSON is nested more than ${deepest} deep`);
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth--;
    else if (byte === COMMA) values++;
    if (values > most) {
      throw new JsonError(`the JSON has more than ${most} values; send them in several requests`, true);
    }
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * Parses a JSON text within limits.
 * @throws JsonError for a text that is over a limit, is not UTF-8, or is not JSON.
 */
export function parseJson(bytes: Buffer, limits: JsonLimits): unknown {
  checkLimits(bytes, limits);
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw jsonError('', 'the JSON is not UTF-8');
  }
  if (text.trim() === '') throw jsonError('', 'the body is empty; send a JSON object, such as {}');
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    // The message quotes the text around the error: short, and the caller's own.
    throw jsonError('', `the body is not JSON: ${(error as Error).message}`);
  }
}
