import { escapedText } from '../files/controlCharacters.js';

/** A string, which stays as it is, or an array of numbers. */
const STRING_OR_NUMBERS = /"(?:[^"\\]|\\.)*"|\[[\s\d.,eE+-]*\]/g;

/** A value as JSON, indented for reading; arrays of numbers stay on one line. */
export function readableJson(value: object): string {
  const indented = JSON.stringify(value, null, 2);
  const short = indented.replace(STRING_OR_NUMBERS, (found) =>
    found.startsWith('[') ? found.replace(/\s+/g, ' ') : found,
  );
  return escapedText(short);
}

/** Prints a value to stdout as JSON. */
export function printJson(value: object): void {
  console.log(readableJson(value));
}
