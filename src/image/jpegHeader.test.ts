import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { plainJpegSize } from './jpegHeader.js';

const photos = fileURLToPath(new URL('../../../test/fixtures/photos/', import.meta.url));
const picture = sharp({ create: { width: 40, height: 24, channels: 3, background: '#a05020' } });
const jpeg = () => picture.clone().jpeg();

describe('the size of a plain JPEG file', () => {
  for (const progressive of [false, true]) {
    test(`is read from a ${progressive ? 'progressive' : 'baseline'} file`, async () => {
      const bytes = await picture.clone().jpeg({ progressive }).toBuffer();
      assert.deepEqual(plainJpegSize(bytes), { width: 40, height: 24 });
      assert.deepEqual(plainJpegSize(new Uint8Array([0, ...bytes]).subarray(1)), { width: 40, height: 24 });
    });
  }

  test("equals sharp's for photographs, or is left to sharp", async () => {
    const files = (await readdir(photos)).filter((name) => name.endsWith('.jpg'));
    let plain = 0;
    for (const name of files) {
      const bytes = await readFile(photos + name);
      const { width, height, icc, exif, space } = await sharp(bytes).metadata();
      const special = icc !== undefined || exif !== undefined || space !== 'srgb';
      const found = plainJpegSize(bytes);
      if (found) plain++;
      assert.ok(found === undefined || !special, name);
      if (found) assert.deepEqual(found, { width, height }, name);
    }
    assert.ok(plain > 0, 'none is plain');
  });

  const special: Record<string, () => Promise<Buffer>> = {
    'EXIF, which may turn it': () => jpeg().withMetadata({ orientation: 6 }).toBuffer(),
    'a colour profile': () => jpeg().withIccProfile('p3').toBuffer(),
    'one component': () => picture.clone().toColourspace('b-w').jpeg().toBuffer(),
    'four components': () => picture.clone().toColourspace('cmyk').jpeg().toBuffer(),
  };
  for (const [what, make] of Object.entries(special)) {
    test(`is left to sharp with ${what}`, async () => assert.equal(plainJpegSize(await make()), undefined));
  }

  test('is left to sharp if a file is cut before its samples, or a byte of its header is changed', async () => {
    const bytes = await jpeg().toBuffer();
    const samples = bytes.indexOf(Buffer.from([0xff, 0xda]));
    for (let end = 0; end < samples; end++)
      assert.equal(plainJpegSize(bytes.subarray(0, end)), undefined, `cut at ${end}`);
    for (let at = 2; at < samples; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 0xff;
      assert.doesNotThrow(() => plainJpegSize(changed), `byte ${at}`);
    }
    const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
    const twelveBit = Buffer.from(bytes);
    twelveBit[frame + 4] = 12;
    assert.equal(plainJpegSize(twelveBit), undefined);
    const empty = Buffer.from(bytes);
    empty.writeUInt16BE(0, frame + 5);
    assert.equal(plainJpegSize(empty), undefined);
  });

  test('is searched for only in the first segments', async () => {
    const bytes = await jpeg().toBuffer();
    const comment = [0xff, 0xfe, 0x00, 0x02];
    const behind = (comments: number) =>
      new Uint8Array([0xff, 0xd8, ...Array.from({ length: comments }, () => comment).flat(), ...bytes.subarray(2)]);
    assert.deepEqual(plainJpegSize(behind(20)), { width: 40, height: 24 });
    assert.equal(plainJpegSize(behind(64)), undefined);
  });
});
