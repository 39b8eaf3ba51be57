/** Characters of a text that a message shows. */
const SHOWN_CHARS = 60;

/** The start of a text. */
export function shortText(text: string): string {
  return text.length <= SHOWN_CHARS ? text : `${text.slice(0, SHOWN_CHARS)}...`;
}

/**
 * A value of a pickle for a message: numbers and short texts as they are, of all others the kind. The values of a hostile file can be
 * nested so that their complete text is endless in practice, or takes all memory.
 */
export function shownValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(shortText(value));
  if (value === null) return 'None';
  if (Array.isArray(value)) return 'a tuple or list';
  if (value instanceof Map) return 'a dict';
  return typeof value === 'object' || typeof value === 'function' ? 'an object' : String(value);
}
