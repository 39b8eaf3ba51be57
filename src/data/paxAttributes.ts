import type { HeaderData } from 'tar';

const NEWLINE = 0x0a;
const SPACE = 0x20;

/**
 * Reads the attributes of a pax header that say where a member is and what its name is. Records are "LENGTH KEY=VALUE\n", by whose length
 * in bytes they are divided (POSIX.1-2017, pax, "pax Extended Header"): a name may contain newlines. The parser of the library divides
 * them by lines.
 * @returns undefined if they are malformed
 */
export function paxAttributes(bytes: Buffer): Pick<HeaderData, 'path' | 'linkpath' | 'size'> | undefined {
  const found: Pick<HeaderData, 'path' | 'linkpath' | 'size'> = {};
  for (let at = 0; at < bytes.length; ) {
    // Some writers pad the last block with zeros that they count.
    if (bytes[at] === 0) break;
    const space = bytes.indexOf(SPACE, at);
    const length = space < 0 ? Number.NaN : Number(bytes.toString('latin1', at, space));
    const end = at + length;
    if (!Number.isSafeInteger(length) || end > bytes.length || end <= space || bytes[end - 1] !== NEWLINE)
      return undefined;
    const equals = bytes.indexOf('=', space);
    if (equals < 0 || equals >= end) return undefined;
    const key = bytes.toString('utf8', space + 1, equals);
    const value = bytes.toString('utf8', equals + 1, end - 1);
    if (key === 'path' || key === 'linkpath') found[key] = value.replace(/\0.*/s, '');
    if (key === 'size') {
      const size = Number(value);
      if (!Number.isSafeInteger(size) || size < 0) return undefined;
      found.size = size;
    }
    at = end;
  }
  return found;
}
