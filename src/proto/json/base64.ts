/**
 * The bytes of a base64 or base64url text, with or without padding and line breaks. Node's decoder is fast, but skips what is not
 * base64, which the length shows, and takes other characters by their low byte, which the length of the UTF-8 text shows.
 * @returns undefined if the text is not base64
 */
export function base64Bytes(text: string): Buffer | undefined {
  const decoded = strictly(text);
  if (decoded || !/\s/.test(text)) return decoded;
  return strictly(text.replace(/\s+/g, ''));
}

function strictly(text: string): Buffer | undefined {
  let end = text.length;
  while (end > 0 && end > text.length - 2 && text[end - 1] === '=') end--;
  // Padding, where there is any, completes a group of four.
  if (end % 4 === 1 || (end < text.length && text.length % 4 !== 0)) return undefined;
  if (Buffer.byteLength(text) !== text.length) return undefined;
  const bytes = Buffer.from(text, 'base64');
  return bytes.byteLength === Math.floor((end * 3) / 4) ? bytes : undefined;
}
