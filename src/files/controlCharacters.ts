/**
 * Control characters, which terminals obey and XML forbids, and characters that reorder the text around them. Names come from files,
 * and files from anywhere.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
export const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g;

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Text on one line for a terminal: control characters stand as `\u001b`, and so in JSON. */
export const escapedLine = (text: string): string => text.replace(CONTROL_CHARACTERS, escaped);

/** The same for text of several lines, whose ends and tabs stay. */
export const escapedText = (text: string): string =>
  text.replace(CONTROL_CHARACTERS, (character) =>
    character === '\n' || character === '\t' ? character : escaped(character),
  );
