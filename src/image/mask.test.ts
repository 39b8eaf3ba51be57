import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { GREY, GREY_ALPHA, PALETTE, pngChunk, RGB, RGB_ALPHA, writePng } from '../../test/support/png.js';
import { ImageError } from './imageError.js';
import { decodeMask } from './mask.js';

const size = { width: 13, height: 5 };
const count = size.width * size.height;

/** Various values of so many bits, with 0, 1 and the largest. */
const numbers = (bits: number) =>
  Array.from({ length: count }, (_, i) => [0, 1, 2 ** bits - 1, i % 2 ** bits, 0][i % 5]!);
const grey = (bits: number) => ({ ...size, bits, colour: GREY });
const inside = (data: ArrayLike<number>) => Array.from(data, (value) => value !== 0);

const long = (...values: number[]) => {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, i * 4);
  return bytes;
};

/** A grey gamma profile, from a mask to which it was applied by mistake. */
async function greyProfile(): Promise<Buffer> {
  const { icc } = await sharp(await readFile('test/fixtures/images/cases/mask_gray22_values_1_255.png')).metadata();
  const { deflateSync } = await import('node:zlib');
  return pngChunk('iCCP', Buffer.concat([Buffer.from('gamma\0\0'), deflateSync(icc!)]));
}

const colourChunks: Record<string, () => Promise<Buffer> | Buffer> = {
  gAMA: () => pngChunk('gAMA', long(220_000)),
  'gAMA of a tenth': () => pngChunk('gAMA', long(10_000)),
  sRGB: () => pngChunk('sRGB', Buffer.from([0])),
  cHRM: () => pngChunk('cHRM', long(31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
  iCCP: greyProfile,
  sBIT: () => pngChunk('sBIT', Buffer.from([1])),
  bKGD: () => pngChunk('bKGD', Buffer.from([0, 1])),
  'tRNS of the value 1': () => pngChunk('tRNS', Buffer.from([0, 1])),
  'an orientation': () => pngChunk('eXIf', Buffer.from('4d4d002a00000008000101120003000000010006000000000000', 'hex')),
};

describe('a mask with one channel', () => {
  for (const bits of [1, 2, 4, 8, 16]) {
    test(`is inside wherever a value of ${bits} bits is not 0, also where it is 1`, async () => {
      const values = numbers(bits);
      const { data, ...found } = await decodeMask(writePng(grey(bits), values), size);
      assert.deepEqual(found, size);
      assert.deepEqual(inside(data), inside(values));
      if (bits >= 8) assert.deepEqual([...data], values);
    });

    for (const [name, make] of Object.entries(colourChunks)) {
      test(`is the same with ${name}, ${bits} bits`, async () => {
        const values = numbers(bits);
        const { data } = await decodeMask(writePng(grey(bits), values, [await make()]), size);
        assert.deepEqual(inside(data), inside(values));
        if (bits >= 8) assert.deepEqual([...data], values);
      });
    }
  }

  test('may be interlaced', async () => {
    const values = numbers(8);
    const raw = { ...size, channels: 1 } as const;
    const png = await sharp(Uint8Array.from(values), { raw })
      .toColourspace('b-w')
      .png({ progressive: true })
      .toBuffer();
    assert.equal((await sharp(png).metadata()).isProgressive, true);
    assert.deepEqual([...(await decodeMask(png, size)).data], values);
  });

  test('with a colour profile of gamma 2.2 keeps its ones', async () => {
    const file = await readFile('test/fixtures/images/cases/mask_gray22_values_1_255.png');
    const { data } = await decodeMask(file, { width: 600, height: 400 });
    const of = (number: number) => data.filter((value) => value === number).length;
    assert.deepEqual([of(1), of(255), of(0)], [25_000, 25_000, 190_000]);
  });
});

describe('a mask with a palette', () => {
  for (const bits of [1, 2, 4, 8]) {
    test(`uses its indices of ${bits} bits, not their colours`, async () => {
      const values = numbers(bits);
      // Index 0 is white, and all others are black: by colours the mask would be inverted.
      const palette = Buffer.alloc(3 * 2 ** bits);
      palette.fill(255, 0, 3);
      const transparent = pngChunk('tRNS', Buffer.alloc(2 ** bits));
      const file = writePng({ ...size, bits, colour: PALETTE }, values, [pngChunk('PLTE', palette), transparent]);
      const { data } = await decodeMask(file, size);
      assert.deepEqual(inside(data), inside(values));
      if (bits === 8) assert.deepEqual([...data], values);
    });
  }
});

describe('is rejected with the reason:', () => {
  const refused = (code: string, message: RegExp) => (error: unknown) => {
    assert.ok(error instanceof ImageError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };

  for (const [colour, channels, name] of [
    [RGB, 3, 'RGB'],
    [RGB_ALPHA, 4, 'RGB with alpha'],
    [GREY_ALPHA, 2, 'grey with alpha'],
  ] as const) {
    test(`a mask of ${name}`, async () => {
      const file = writePng({ ...size, bits: 8, colour }, new Uint8Array(count * channels));
      await assert.rejects(
        decodeMask(file, size),
        refused('unsupported_format', new RegExp(`^mask is ${name}, .*one channel`)),
      );
    });
  }

  test('a mask of another format, with its name', async () => {
    const picture = sharp(new Uint8Array(count), { raw: { ...size, channels: 1 } });
    for (const [format, name] of [
      ['jpeg', 'JPEG'],
      ['webp', 'WebP'],
      ['tiff', 'TIFF'],
    ] as const) {
      const file = await picture.clone().toFormat(format).toBuffer();
      await assert.rejects(
        decodeMask(file, size),
        refused('unsupported_format', new RegExp(`^mask is a ${name} file; send a PNG`)),
      );
    }
    await assert.rejects(
      decodeMask(new Uint8Array(0), size),
      refused('unsupported_format', /^mask is empty \(0 bytes\)/),
    );
  });

  test('a mask of another size, before it is decoded', async () => {
    const file = writePng({ ...grey(8), width: 5, height: 13 }, numbers(8));
    await assert.rejects(decodeMask(file, size), refused('bad_dimensions', /mask of 5 x 13 .* image of 13 x 5/));
  });

  test('a mask that is truncated or changed', async () => {
    const file = writePng(grey(8), numbers(8));
    const data = file.indexOf('IDAT');
    for (let end = 8; end < file.length - 12; end++) {
      await assert.rejects(
        decodeMask(file.subarray(0, end), size),
        refused('corrupt', /PNG is damaged|cannot be decoded/),
      );
    }
    const changed = Buffer.from(file);
    changed[data + 8]! ^= 4;
    await assert.rejects(decodeMask(changed, size), refused('corrupt', /chunk IDAT at byte 33 has a wrong checksum/));
    assert.deepEqual(
      [...(await decodeMask(file.subarray(0, -12), size)).data],
      numbers(8),
      'without IEND all is there',
    );
  });
});
