import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { decodeImage } from './decode.js';
import { checkJpeg } from './jpegDamage.js';

const images = new URL('../../../test/fixtures/images/', import.meta.url);
const read = (name: string) => readFile(new URL(name, images));
const refused = (message: RegExp) => ({ name: 'ImageError', code: 'corrupt', message });

/** Noise with more bytes than the limit up to which codes are checked. */
const large = await sharp(
  Uint8Array.from({ length: 1200 * 700 * 3 }, (_, i) => (i * 2_654_435_761) >>> 24),
  { raw: { width: 1200, height: 700, channels: 3 } },
)
  .jpeg({ quality: 95 })
  .toBuffer();

describe('regression files', () => {
  test('half of the data with an end marker is damaged, near the row where it ends', async () => {
    await assert.rejects(
      decodeImage(await read('cases/half_EOI_astronaut.jpg')),
      refused(/^JPEG is damaged: it has no more data near row 272 of 512; check that it was transferred completely$/),
    );
  });

  test('a file without a fifth in the middle is damaged', async () => {
    await assert.rejects(
      decodeImage(await read('cases/64_astronaut.jpg')),
      refused(/^JPEG is damaged: .* near row 224 of 512/),
    );
  });

  test('a file that lacks only its end marker is decoded with all pixels', async () => {
    const file = await read('cases/trunc_2.jpg');
    const whole = await decodeImage(Buffer.concat([file, Buffer.from([0xff, 0xd9])]));
    assert.deepEqual(await decodeImage(file), whole);
  });
});

describe('an intact file', () => {
  test('is decoded unchanged, without a copy', async () => {
    for (const name of ['baseline-420.jpg', 'restarts-blocks.jpg', 'grey.jpg', 'cmyk.jpg']) {
      const bytes = await read(name);
      assert.deepEqual(await checkJpeg(bytes), { bytes, strict: false }, name);
      assert.equal((await checkJpeg(bytes)).bytes, bytes, name);
    }
  });

  test('of several scans is checked by the warnings of the decoder', async () => {
    for (const name of ['progressive-420.jpg', 'progressive-444.jpg', 'scans-420.jpg', 'arithmetic.jpg']) {
      const bytes = await read(name);
      const checked = await checkJpeg(bytes);
      assert.ok(checked.strict && checked.bytes === bytes, name);
    }
  });

  test('may have zero padding after its data, as some cameras write it', async () => {
    const bytes = await read('baseline-444.jpg');
    const filled = (filling: number[]) =>
      Buffer.concat([bytes.subarray(0, -2), Buffer.from(filling), bytes.subarray(-2)]);
    assert.deepEqual(await decodeImage(filled([0, 0, 0])), await decodeImage(bytes));
    await assert.rejects(decodeImage(filled([1, 2, 3])), refused(/it has 3 bytes of data too many/));
  });

  test('may declare another spectral range for its only scan, which has all coefficients', async () => {
    const bytes = Buffer.from(await read('baseline-444.jpg'));
    const scan = bytes.indexOf(Buffer.from([0xff, 0xda]));
    const whole = await decodeImage(bytes);
    bytes.set([0, 0, 0], scan + 2 + 3 + 2 * 3);
    assert.deepEqual(await decodeImage(bytes), whole);
  });
});

describe('a file of more than 256 KiB', () => {
  test('is checked by the warnings of the decoder', async () => {
    assert.ok(large.length > 600 * 1024);
    const checked = await checkJpeg(large);
    assert.ok(checked.strict && checked.bytes === large);
    assert.equal((await decodeImage(large)).width, 1200);
  });

  test('is rejected if data are missing, with or without an end marker', async () => {
    const half = large.subarray(0, large.length >> 1);
    await assert.rejects(decodeImage(half), refused(/decoded as jpeg: VipsJpeg: .*premature end/));
    await assert.rejects(decodeImage(Buffer.concat([half, large.subarray(-2)])), refused(/premature end/));
    const cut = Buffer.concat([large.subarray(0, 100_000), large.subarray(200_000)]);
    await assert.rejects(decodeImage(cut), refused(/Corrupt JPEG data|premature end/));
  });

  test('is decoded if it lacks only its end marker, or has extra bytes between its segments', async () => {
    const whole = await decodeImage(large);
    assert.deepEqual(await decodeImage(large.subarray(0, -2)), whole);
    const table = large.indexOf(Buffer.from([0xff, 0xc4]));
    const spaced = Buffer.concat([large.subarray(0, table), Buffer.from([1, 2, 3]), large.subarray(table)]);
    assert.deepEqual(await decodeImage(spaced), whole);
  });
});

test('12-bit and lossless JPEG files are rejected with the name of their kind', async () => {
  const bytes = await read('baseline-444.jpg');
  const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
  for (const [at, value, message] of [
    [frame + 4, 12, /^image is a JPEG of 12 bits per sample, which is not supported; convert it to a standard JPEG/],
    [frame + 1, 0xc3, /^image is a lossless JPEG, which is not supported/],
    [frame + 1, 0xc5, /^image is a JPEG of frame type 5/],
  ] as const) {
    const changed = Buffer.from(bytes);
    changed[at] = value;
    await assert.rejects(decodeImage(changed), { name: 'ImageError', code: 'unsupported_format', message });
  }
});

test('a progressive file without its end marker and its last scans is damaged', async () => {
  const bytes = await read('progressive-420.jpg');
  const last = bytes.lastIndexOf(Buffer.from([0xff, 0xda]));
  await assert.rejects(decodeImage(bytes.subarray(0, last)), refused(/it ends before its last scan does/));
});

test('a damaged file does not change the result of another that is decoded concurrently', async () => {
  const whole = await read('progressive-444.jpg');
  const damaged = Buffer.concat([whole.subarray(0, 6000), whole.subarray(6100)]);
  const spaced = await read('baseline-420.jpg');
  const files = Array.from({ length: 60 }, (_, i) => [whole, damaged, spaced][i % 3]!);
  const found = await Promise.allSettled(files.map((file) => decodeImage(file)));
  assert.deepEqual(
    found.map(({ status }) => status),
    files.map((file) => (file === damaged ? 'rejected' : 'fulfilled')),
  );
});
