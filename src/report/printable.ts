import { CONTROL_CHARACTERS } from '../files/controlCharacters.js';

const LONE_SURROGATES = /\p{Surrogate}/gu;

/** Text on one line, in which every unprintable character is U+FFFD; white space of any kind is a space. */
export function printable(text: string): string {
  return text
    .replace(/[\t\n\r\u2028\u2029]+/g, ' ')
    .replace(CONTROL_CHARACTERS, '\ufffd')
    .replace(LONE_SURROGATES, '\ufffd');
}
