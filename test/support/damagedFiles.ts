import { readFileSync } from 'node:fs';
import { type DamagedFile, damagedJpegs, imageFixtures, spliced } from './damagedJpegs.js';
import { pngChunk } from './png.js';

/** Files of every format with one fault each. They have the same bytes on every machine. */

const others = ['still.gif', 'animated.gif', 'lossy.webp', 'lossless.webp', 'eight-bit.png', 'interlaced.png'];
const tiffs = ['plain.tif', 'lzw.tif', 'deflate.tif'];

type Changes = Record<string, Buffer>;

/** Relative offset at which all of the files have pixel data, after headers and tables. */
const PIXELS_AT = 0.3;

function tails(file: Buffer): Changes {
  const made: Changes = {};
  for (let tenth = 1; tenth < 10; tenth++) {
    made[`cut at ${tenth} tenths`] = file.subarray(0, Math.floor((file.length * tenth) / 10));
  }
  made['harmless: bytes behind the end'] = Buffer.concat([file, Buffer.from('what some servers append')]);
  const at = Math.floor(file.length * PIXELS_AT);
  made['3 bytes removed'] = spliced(file, at, 3);
  made['40 bytes removed'] = spliced(file, at, 40);
  made['40 bytes inserted'] = spliced(file, at, 0, Buffer.alloc(40, 7));
  return made;
}

/** Offsets of the chunks of one type in a PNG file. */
function chunksOf(file: Buffer, type: string): number[] {
  const found: number[] = [];
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    if (file.toString('latin1', at + 4, at + 8) === type) found.push(at);
  }
  return found;
}

function pngChanges(file: Buffer): Changes {
  const [last, end] = [chunksOf(file, 'IDAT').at(-1)!, chunksOf(file, 'IEND')[0]!];
  const wrong = (at: number) => {
    const changed = Buffer.from(file);
    changed[at]! ^= 0x10;
    return changed;
  };
  const text = pngChunk('tEXt', Buffer.from('Comment\0a text'));
  const badText = Buffer.from(text);
  badText[badText.length - 1]! ^= 1;
  return {
    'cut in the last IDAT': file.subarray(0, end - 9),
    'the last byte of the last IDAT missing': file.subarray(0, end - 1),
    'a byte of the last IDAT changed': wrong(end - 8),
    'the checksum of the last IDAT changed': wrong(end - 2),
    'a byte of an IDAT changed': wrong(last + 40),
    'a byte of IHDR changed': wrong(8 + 8 + 2),
    'harmless: no IEND': file.subarray(0, end),
    'harmless: half of IEND': file.subarray(0, end + 6),
    'harmless: a wrong checksum of IEND': wrong(file.length - 1),
    'harmless: a wrong checksum of a text': spliced(file, 33, 0, badText),
    'harmless: a text that is cut off at the end': Buffer.concat([file.subarray(0, end), text.subarray(0, 15)]),
  };
}

function gifChanges(file: Buffer): Changes {
  return {
    'cut before the last block': file.subarray(0, -2),
    'harmless: no trailer': file.subarray(0, -1),
  };
}

/** Files of the other formats, and their damaged variants. */
export function damagedFiles(): DamagedFile[] {
  const made = [...others, ...tiffs, 'picture.avif'].flatMap((from) => {
    const file = readFileSync(new URL(from, imageFixtures));
    const changes: Changes = { whole: file, ...tails(file) };
    if (from.endsWith('.png')) Object.assign(changes, pngChanges(file));
    if (from.endsWith('.gif')) Object.assign(changes, gifChanges(file));
    return Object.entries(changes).map(([what, bytes]) => ({ name: `${from}: ${what}`, from, bytes }));
  });
  return [...damagedJpegs(), ...made];
}
