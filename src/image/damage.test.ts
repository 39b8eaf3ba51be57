import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import sharp from 'sharp';
import { damagedFiles } from '../../test/support/damagedFiles.js';
import { type DamagedFile, imageFixtures } from '../../test/support/damagedJpegs.js';
import { decodeImage } from './decode.js';
import { ImageError } from './imageError.js';

/** The results for damaged files of every format, compared with those of PIL (`scripts/compare/damagedFiles.ts`). */

interface Verdict {
  readonly file: DamagedFile;
  /** Mean difference of 8-bit samples to the intact file's; absent if the file is rejected. */
  readonly difference?: number;
  readonly error?: ImageError;
  readonly readByPil: boolean;
}

const isHarmless = ({ file }: Verdict) => /: (harmless|whole)/.test(file.name);
/** Arithmetic coding accepts any bytes as codes, and does not mark their end. */
const isArithmetic = ({ file }: Verdict) => file.from === 'arithmetic.jpg';
/** Without checksums a format cannot detect changed bytes that are as many valid codes, or changed plain samples. */
const isSmall = ({ file }: Verdict) => /: \d+ bytes? (removed|inserted|overwritten)/.test(file.name);

function meanDifference(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i]! - b[i]!);
  return sum / a.length;
}

async function verdicts(): Promise<readonly Verdict[]> {
  const record = JSON.parse(await readFile(new URL('pil.json', imageFixtures), 'utf8')) as { refused: string[] };
  const refusedByPil = new Set(record.refused);
  const whole = new Map<string, Uint8Array>();
  const found: Verdict[] = [];
  for (const file of damagedFiles()) {
    const readByPil = !refusedByPil.has(file.name);
    try {
      const { data } = await decodeImage(file.bytes);
      if (!whole.has(file.from)) whole.set(file.from, data);
      found.push({ file, readByPil, difference: meanDifference(whole.get(file.from)!, data) });
    } catch (error) {
      assert.ok(error instanceof ImageError, `${file.name}: ${error}`);
      found.push({ file, readByPil, error });
    }
  }
  return found;
}

const named = (list: readonly Verdict[]) =>
  list.map(({ file, error }) => `${file.name}${error ? ` (${error.message})` : ''}`);

describe('damaged files', () => {
  let all: readonly Verdict[];
  before(async () => {
    all = await verdicts();
  });

  test('are decoded to the same pixels if no pixel is missing', () => {
    const harmless = all.filter(isHarmless);
    assert.ok(harmless.length > 150, `${harmless.length} files`);
    const wrong = harmless.filter(({ difference }) => difference !== 0);
    // Only the end marker shows that all arithmetic codes are present.
    const expected = ['no end marker', 'half an end marker'].map((what) => `arithmetic.jpg: harmless: ${what}`);
    assert.deepEqual(wrong.map(({ file }) => file.name).sort(), expected.sort());
  });

  test('that are decoded have the pixels of the intact file, except for undetectable changes', () => {
    const answered = all.filter(({ error }) => error === undefined);
    const wrong = answered.filter((verdict) => verdict.difference !== 0 && !isSmall(verdict) && !isArithmetic(verdict));
    assert.deepEqual(named(wrong), []);
  });

  test('that are rejected are reported as damaged, with the position', () => {
    const refused = all.filter(({ error }) => error);
    assert.ok(refused.length > 500, `${refused.length} files`);
    for (const { file, error } of refused) {
      assert.equal(error!.code, 'corrupt', file.name);
      assert.match(
        error!.message,
        /^(JPEG|PNG|GIF|TIFF|WebP) is damaged: .*\d|^image cannot be decoded as \w+: \S|ends before its last scan/,
        file.name,
      );
      assert.doesNotMatch(error!.message, /bad seek|Unknown error/);
    }
  });

  test('that are truncated within their pixels are rejected', () => {
    const cut = all.filter(({ file, difference }) => /: cut (at|in)/.test(file.name) && difference !== 0);
    assert.ok(cut.length > 200, `${cut.length} files`);
    const answered = cut.filter((verdict) => !verdict.error && !isArithmetic(verdict));
    assert.deepEqual(named(answered), []);
  });

  test('in JPEG are rejected if restart markers are out of order, missing or doubled, or intervals are missing', () => {
    const changed = all.filter(({ file }) => /: .*restart (marker|interval)/.test(file.name));
    assert.ok(changed.length >= 18, `${changed.length} files`);
    assert.deepEqual(named(changed.filter(({ error }) => !error)), []);
  });

  test('in JPEG with some bytes removed or inserted are mostly rejected, though PIL decodes them', () => {
    const [few, many] = ['1|3', '50'].map((bytes) =>
      all.filter(
        (verdict) =>
          new RegExp(`: (${bytes}) bytes (removed|inserted)`).test(verdict.file.name) && !isArithmetic(verdict),
      ),
    ) as [Verdict[], Verdict[]];
    const share = (list: readonly Verdict[]) => list.filter(({ error }) => error).length / list.length;
    assert.ok(many.length >= 90 && share(many) > 0.85, `${share(many)} of ${many.length}`);
    assert.ok(few.length >= 180 && share(few) > 0.4, `${share(few)} of ${few.length}`);
    const byPil = few.concat(many).filter(({ readByPil }) => !readByPil);
    assert.ok(byPil.length < 0.1 * (few.length + many.length), `PIL refuses ${byPil.length}`);
  });

  test('that PIL rejects are rejected, unless all pixels are present or PIL does not support the format', () => {
    const ours = all.filter((verdict) => !verdict.error && !verdict.readByPil && verdict.difference !== 0);
    assert.deepEqual(named(ours.filter(({ file }) => file.from !== 'picture.avif')), []);
    const better = all.filter((verdict) => !verdict.error && !verdict.readByPil && verdict.difference === 0);
    const what = new Set(better.map(({ file }) => file.name.replace(/^\S+: /, '')));
    // PIL treats a missing end marker as truncation.
    assert.ok(what.has('harmless: no end marker') && what.has('without the last 2'), [...what].join('; '));
  });

  test('that PIL decodes and that are rejected have other pixels, or no proof that they have the same', async () => {
    const ours = all.filter(({ error, readByPil }) => error && readByPil);
    assert.ok(ours.length > 300, `${ours.length} files`);
    const same: string[] = [];
    const wholes = new Map<string, Buffer>();
    for (const { file } of ours) {
      const lenient = (bytes: Buffer) =>
        sharp(bytes, { failOn: 'none' }).flatten({ background: '#ffffff' }).toColourspace('srgb').raw().toBuffer();
      let whole = wholes.get(file.from);
      if (whole === undefined) {
        whole = await lenient(await readFile(new URL(file.from, imageFixtures)));
        wholes.set(file.from, whole);
      }
      const found = await lenient(file.bytes).catch(() => undefined);
      if (found && meanDifference(whole, found) === 0) same.push(file.name);
    }
    // The codes end too early, and only the end-of-data code is missing; or the checksum is missing.
    const early = /: without the last (1 of the data|3)$/;
    const unproved =
      /\.png: (cut in the last IDAT|the last byte of the last IDAT missing|the checksum of the last IDAT changed)$/;
    assert.deepEqual(
      same.filter((name) => !early.test(name) && !unproved.test(name)),
      [],
    );
  });
});

describe('with millions of empty parts are rejected or read without blocking other work', () => {
  const MIB = 2 ** 20;
  const repeated = (head: Buffer, part: readonly number[], bytes = 4 * MIB) =>
    Buffer.concat([head, Buffer.alloc(bytes, Buffer.from(part))]);
  const refused = (message: RegExp) => ({ name: 'ImageError', code: 'corrupt', message });
  const soi = Buffer.from([0xff, 0xd8]);

  test('JPEG: segments, code tables, scans', async () => {
    await assert.rejects(decodeImage(repeated(soi, [0xff, 0xe0, 0, 2])), refused(/more than 20000 segments/));
    const tables = Buffer.concat([Buffer.from([0xff, 0xc4, 0xff, 0xff]), Buffer.alloc(65_533)]);
    await assert.rejects(
      decodeImage(Buffer.concat([soi, tables, tables, tables, tables, tables, tables])),
      refused(/more than 20000 tables/),
    );
    const scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];
    await assert.rejects(decodeImage(repeated(soi, scan)), refused(/more than 1000 scans/));
  });

  test('PNG: chunks', async () => {
    const file = await readFile(new URL('eight-bit.png', imageFixtures));
    const chunk = [0, 0, 0, 0, 0x74, 0x45, 0x58, 0x74, 0, 0, 0, 0];
    await assert.rejects(decodeImage(repeated(file.subarray(0, 33), chunk)), refused(/more than 100000 chunks/));
  });

  test('GIF: blocks of one byte', async () => {
    const file = await readFile(new URL('still.gif', imageFixtures));
    const whole = await decodeImage(file);
    const comment = Buffer.concat([
      Buffer.from([0x21, 0xfe]),
      Buffer.alloc(4 * MIB, Buffer.from([1, 0x61])),
      Buffer.of(0),
    ]);
    const start = 13 + 3 * 2 ** ((file[10]! & 7) + 1);
    assert.deepEqual(await decodeImage(Buffer.concat([file.subarray(0, start), comment, file.subarray(start)])), whole);
    const frame = Buffer.from([0x2c, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 8]);
    await assert.rejects(
      decodeImage(repeated(Buffer.concat([file.subarray(0, start), frame]), [1, 0])),
      refused(/GIF is damaged/),
    );
  });

  test('TIFF: one tag many times', async () => {
    const file = Buffer.alloc(8 + 2 + 4096 * 12 + 4 + 2 ** 19);
    file.write('II*\0\x08', 'latin1');
    file.writeUInt16LE(4096, 8);
    for (let i = 0; i < 4096; i++) {
      const at = 10 + i * 12;
      file.writeUInt16LE(273, at);
      file.writeUInt16LE(4, at + 2);
      file.writeUInt32LE(2 ** 17, at + 4);
      file.writeUInt32LE(10 + 4096 * 12 + 4, at + 8);
    }
    await assert.rejects(decodeImage(file), { name: 'ImageError', code: 'corrupt' });
  });
});
