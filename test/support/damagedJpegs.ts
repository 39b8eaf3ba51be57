import { readdirSync, readFileSync } from 'node:fs';
import { stream } from '../../src/tensor/random.js';

/** JPEG files with one fault each, made from those of test/fixtures/images. They have the same bytes on every machine. */

/** The folder of undamaged files. */
export const imageFixtures = new URL('../../../test/fixtures/images/', import.meta.url);
const EOI = Buffer.from([0xff, 0xd9]);

export interface DamagedFile {
  /** Unique and stable, because results are recorded by this name. */
  readonly name: string;
  /** File of test/fixtures/images that it was made from. */
  readonly from: string;
  readonly bytes: Buffer;
}

type Changes = Record<string, Buffer>;

/** Offset of the coded data of the first scan. */
function dataStart(file: Buffer): number {
  const at = file.indexOf(Buffer.from([0xff, 0xda]));
  return at + 2 + file.readUInt16BE(at + 2);
}

/** A file with some bytes replaced by others. */
export const spliced = (file: Buffer, at: number, removed: number, added: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat([file.subarray(0, at), added, file.subarray(at + removed)]);

/** Offsets of the restart markers. */
function restarts(file: Buffer): number[] {
  const found: number[] = [];
  for (let at = dataStart(file); at + 1 < file.length; at++) {
    if (file[at] === 0xff && (file[at + 1]! & 0xf8) === 0xd0) found.push(at);
  }
  return found;
}

function cuts(file: Buffer): Changes {
  const made: Changes = {};
  const [start, length] = [dataStart(file), file.length - dataStart(file)];
  for (let tenth = 0; tenth < 10; tenth++) {
    const cut = file.subarray(0, start + Math.floor((length * tenth) / 10));
    made[`cut at ${tenth} tenths`] = cut;
    made[`cut at ${tenth} tenths, end marker`] = Buffer.concat([cut, EOI]);
  }
  for (const bytes of [1, 2, 3, 4, 8]) made[`without the last ${bytes}`] = file.subarray(0, -bytes);
  for (const bytes of [1, 2, 8]) {
    made[`without the last ${bytes} of the data`] = Buffer.concat([file.subarray(0, -2 - bytes), EOI]);
  }
  return made;
}

function changesInside(file: Buffer, from: string): Changes {
  const made: Changes = {};
  const [start, end] = [dataStart(file) + 16, file.length - 16];
  const at = (share: number) => start + Math.floor((end - start) * share);
  const random = stream(1, 'damaged jpeg', from);
  const bytes = (count: number) => Uint8Array.from({ length: count }, () => random.integer(255));
  for (const share of [0.1, 0.3, 0.5, 0.7, 0.9]) {
    const place = `at ${share}`;
    for (const count of [1, 3, 50]) {
      made[`${count} bytes removed ${place}`] = spliced(file, at(share), count);
      made[`${count} bytes inserted ${place}`] = spliced(file, at(share), 0, bytes(count));
      made[`${count} bytes overwritten ${place}`] = spliced(file, at(share), count, bytes(count));
    }
  }
  made['a fifth removed in the middle'] = spliced(file, at(0.4), Math.floor((end - start) / 5));
  made['a fifth overwritten by zeros'] = spliced(
    file,
    at(0.4),
    Math.floor((end - start) / 5),
    Buffer.alloc(Math.floor((end - start) / 5)),
  );
  made['the middle doubled'] = spliced(file, at(0.4), 0, file.subarray(at(0.3), at(0.4)));
  return made;
}

function changedRestarts(file: Buffer): Changes {
  const places = restarts(file);
  if (places.length < 6) return {};
  const [early, middle] = [places[1]!, places[Math.floor(places.length / 2)]!];
  const shifted = Buffer.from(file);
  for (const at of places.slice(3)) shifted[at + 1] = 0xd0 | ((shifted[at + 1]! + 1) & 7);
  const swapped = Buffer.from(file);
  [swapped[early + 1], swapped[middle + 1]] = [
    0xd0 | ((file[early + 1]! + 1) & 7),
    0xd0 | ((file[middle + 1]! + 3) & 7),
  ];
  return {
    'restart markers shifted': shifted,
    'restart markers with other numbers': swapped,
    'restart marker missing': spliced(file, middle, 2),
    'restart marker doubled': spliced(file, middle, 0, file.subarray(middle, middle + 2)),
    'restart interval missing': spliced(file, places[2]!, places[3]! - places[2]!),
    'eight restart intervals missing': spliced(file, places[0]!, (places[8] ?? places[4]!) - places[0]!),
  };
}

/** Faults that change no pixel. Decoders warn of some of them. */
function harmless(file: Buffer): Changes {
  const scan = file.indexOf(Buffer.from([0xff, 0xda]));
  const table = file.indexOf(Buffer.from([0xff, 0xdb]));
  const segment = (marker: number, body: Uint8Array) => {
    const head = Buffer.from([0xff, marker, 0, 0]);
    head.writeUInt16BE(body.length + 2, 2);
    return Buffer.concat([head, body]);
  };
  const exif = Buffer.concat([Buffer.from('Exif\0\0II*\0'), Buffer.from([0xff, 0xff, 0xff, 0x7f, 1, 2, 3])]);
  const profile = Buffer.concat([Buffer.from('ICC_PROFILE\0\x01\x01', 'latin1'), Buffer.alloc(60, 7)]);
  const odd = Buffer.from(file);
  const jfif = file.indexOf('JFIF\0');
  if (jfif > 0) odd[jfif + 5] = 9;
  const body = file.subarray(0, -2);
  return {
    'harmless: bytes between segments': spliced(file, table, 0, Buffer.from([0, 1, 2, 3, 4])),
    'harmless: bytes before the scan': spliced(file, scan, 0, Buffer.from([9, 9, 9])),
    'harmless: markers filled up': spliced(file, scan, 0, Buffer.from([0xff, 0xff, 0xff])),
    'harmless: end marker filled up': Buffer.concat([body, Buffer.from([0xff, 0xff, 0xff]), EOI]),
    'harmless: bytes behind the end': Buffer.concat([file, Buffer.from('what some cameras and servers append')]),
    'harmless: zeros behind the end': Buffer.concat([file, Buffer.alloc(4096)]),
    'harmless: another file behind the end': Buffer.concat([file, file]),
    'harmless: a part of another file behind the end': Buffer.concat([file, file.subarray(0, file.length >> 1)]),
    'harmless: no end marker': body,
    'harmless: half an end marker': file.subarray(0, -1),
    'harmless: another version of JFIF': odd,
    'harmless: EXIF that cannot be read': spliced(file, 2, 0, segment(0xe1, exif)),
    'harmless: a colour profile that is none': spliced(file, 2, 0, segment(0xe2, profile)),
    'harmless: a comment of 60,000 bytes': spliced(file, 2, 0, segment(0xfe, Buffer.alloc(60_000, 0xff))),
    'harmless: an unknown colour transform': spliced(
      file,
      2,
      0,
      segment(0xee, Buffer.from('Adobe\0d\0\0\0\0\x07', 'latin1')),
    ),
  };
}

/** Names of the JPEG files of test/fixtures/images. */
const wholeJpegs = (): string[] =>
  readdirSync(imageFixtures)
    .filter((name) => name.endsWith('.jpg'))
    .sort();

export function damagedJpegs(): DamagedFile[] {
  return wholeJpegs().flatMap((from) => {
    const file = readFileSync(new URL(from, imageFixtures));
    const changes = {
      whole: file,
      ...cuts(file),
      ...changesInside(file, from),
      ...changedRestarts(file),
      ...harmless(file),
    };
    return Object.entries(changes).map(([what, bytes]) => ({ name: `${from}: ${what}`, from, bytes }));
  });
}
