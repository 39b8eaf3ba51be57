/** The name of a field as the proto spells it: `bytes_contents` for `bytesContents`. */
export function fieldName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** What a caller has sent, as an error repeats it. @param characters maximum length */
export const quoted = (text: string, characters = 64): string => JSON.stringify(text.slice(0, characters));
