/**
 * Control characters, which terminals obey and XML forbids, and characters that reorder the text around them. Names come
 * from files, and files from anywhere.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g;
const LONE_SURROGATES = /\p{Surrogate}/gu;

/** Text on one line, in which every unprintable character is U+FFFD; white space of any kind is a space. */
export function printable(text: string): string {
  return text
    .replace(/[\t\n\r\u2028\u2029]+/g, ' ')
    .replace(UNPRINTABLE, '\ufffd')
    .replace(LONE_SURROGATES, '\ufffd');
}
