/** The name of a field as the proto spells it: `bytes_contents` for `bytesContents`. */
export function fieldName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
