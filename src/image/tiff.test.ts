import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { type TiffOptions, writeTiff } from '../../test/support/tiff.js';
import { decodeImage } from './decode.js';

const size = { width: 6, height: 4 };
const count = size.width * size.height;
/** A ramp of grey, 0 to 230. */
const ramp = Uint8Array.from({ length: count }, (_, i) => i * 10);
const greyOf = ({ data }: { data: Uint8Array }) => [...data].filter((_, i) => i % 3 === 0);
const bytes = (array: Uint16Array | Uint32Array | Int32Array | Float32Array | Float64Array | Int16Array) =>
  new Uint8Array(array.buffer);
const near = (found: readonly number[], expected: ArrayLike<number>, by: number) => {
  for (const [i, value] of found.entries())
    assert.ok(Math.abs(value - expected[i]!) <= by, `${i}: ${value}, ${expected[i]}`);
};

describe('a TIFF is decoded', () => {
  for (const [name, options] of [
    ['of either byte order', { bigEndian: true }],
    ['of BigTIFF', { big: true }],
    ['of BigTIFF, the other byte order', { big: true, bigEndian: true }],
  ] as const) {
    test(name, async () =>
      assert.deepEqual(greyOf(await decodeImage(writeTiff(ramp, { ...size, ...options }))), [...ramp]),
    );
  }

  test('with zero as white', async () => {
    const inverted = ramp.map((value) => 255 - value);
    assert.deepEqual(greyOf(await decodeImage(writeTiff(inverted, { ...size, photometric: 0 }))), [...ramp]);
  });

  test('of 16 bits, grey and RGB', async () => {
    const grey = writeTiff(bytes(Uint16Array.from(ramp, (value) => value * 257)), { ...size, bits: 16 });
    near(greyOf(await decodeImage(grey)), ramp, 1);
    const colours = Uint16Array.from({ length: count * 3 }, (_, i) => ramp[Math.floor(i / 3)]! * 257);
    near(greyOf(await decodeImage(writeTiff(bytes(colours), { ...size, bits: 16, samples: 3 }))), ramp, 1);
  });

  test('of 1, 2 and 4 bits', async () => {
    const raw = { width: 8, height: 4, channels: 1 } as const;
    for (const bitdepth of [1, 2, 4] as const) {
      const levels = 2 ** bitdepth;
      const pixels = Uint8Array.from({ length: 32 }, (_, i) => Math.round(((i % levels) * 255) / (levels - 1)));
      const file = await sharp(pixels, { raw }).toColourspace('b-w').tiff({ bitdepth, compression: 'none' }).toBuffer();
      near(greyOf(await decodeImage(file)), pixels, 1);
    }
  });

  test('of CMYK', async () => {
    // Cyan, magenta, yellow, no ink.
    const inks = Uint8Array.from({ length: count * 4 }, (_, i) =>
      Math.floor(i / 4) % 4 === i % 4 && i % 4 < 3 ? 255 : 0,
    );
    const { data } = await decodeImage(writeTiff(inks, { ...size, samples: 4, photometric: 5 }));
    const [cyan, magenta, yellow, white] = [0, 1, 2, 3].map((i) => [...data.subarray(i * 3, i * 3 + 3)]) as number[][];
    assert.ok(cyan![0]! < 100 && cyan![2]! > 180, `${cyan}`);
    assert.ok(magenta![1]! < 100 && magenta![0]! > 150, `${magenta}`);
    assert.ok(yellow![2]! < 100 && yellow![0]! > 200, `${yellow}`);
    assert.deepEqual(white, [255, 255, 255]);
  });

  const filled = (samples: readonly number[]) =>
    Uint8Array.from({ length: count * samples.length }, (_, i) => samples[i % samples.length]!);
  const EXTRA_SAMPLES = 338;
  for (const [name, pixel, photometric, extra, expected] of [
    ['grey and another sample', [90, 10], 1, [0], [90, 90, 90]],
    ['RGB and near infrared', [200, 100, 50, 10], 2, [0], [200, 100, 50]],
    ['RGB and a sample without a stated meaning', [200, 100, 50, 10], 2, undefined, [200, 100, 50]],
    ['CMYK and a spot colour', [0, 128, 200, 30, 0], 5, [0], undefined],
    ['RGB and alpha', [200, 100, 50, 128], 2, [2], [227, 177, 152]],
    ['RGB and premultiplied alpha', [100, 50, 25, 128], 2, [1], [227, 177, 152]],
  ] as const) {
    test(`of ${name}: only alpha is shown over white`, async () => {
      const tags = extra && { [EXTRA_SAMPLES]: extra };
      const options = { ...size, photometric, samples: pixel.length };
      // Ink is compared with the same ink without the further sample.
      const plain = writeTiff(filled(pixel.slice(0, -1)), { ...options, samples: pixel.length - 1 });
      const wanted = expected ?? (await decodeImage(plain)).data.subarray(0, 3);
      const eight = await decodeImage(writeTiff(filled(pixel), { ...options, ...(tags && { tags }) }));
      near([...eight.data.subarray(0, 3)], wanted, 1);
      const words = bytes(Uint16Array.from(filled(pixel), (value) => value * 257));
      const sixteen = await decodeImage(writeTiff(words, { ...options, bits: 16, ...(tags && { tags }) }));
      near([...sixteen.data.subarray(0, 3)], wanted, 1);
    });
  }

  test('of several pages, of which the first is used', async () => {
    const page = (level: number) =>
      ({ create: { width: 8, height: 8, channels: 3, background: { r: level, g: level, b: level } } }) as const;
    const pages = await Promise.all([40, 200].map((level) => sharp(page(level)).png().toBuffer()));
    const file = await sharp(pages, { join: { animated: true } })
      .tiff({ compression: 'none' })
      .toBuffer();
    assert.equal((await sharp(file).metadata()).pages, 2);
    const image = await decodeImage(file);
    assert.deepEqual([image.width, image.height, image.data[0]], [8, 8, 40]);
  });

  for (const compression of ['none', 'lzw', 'deflate', 'packbits', 'jpeg'] as const) {
    test(`of ${compression}, in strips and tiles`, async () => {
      const picture = sharp(ramp, { raw: { ...size, channels: 1 } }).resize(300, 200, { kernel: 'nearest' });
      const whole = await decodeImage(await picture.clone().png().toBuffer());
      for (const tile of [false, true]) {
        const file = await picture
          .clone()
          .tiff({ compression, tile, tileWidth: 64, tileHeight: 64, quality: 95 })
          .toBuffer();
        near(greyOf(await decodeImage(file)), greyOf(whole), compression === 'jpeg' ? 12 : 0);
      }
    });
  }
});

describe('a TIFF is rejected with the unsupported feature:', () => {
  const grey = (pixels: Uint8Array, options: Partial<TiffOptions>) => writeTiff(pixels, { ...size, ...options });
  const cases: Record<string, [Buffer, RegExp]> = {
    'floating point': [
      grey(bytes(Float32Array.from(ramp, (value) => value / 255)), { bits: 32, format: 3 }),
      /^image is a TIFF of 32-bit floating point, whose range is not defined .*; scale it to 8 or 16 bits/,
    ],
    'floating point, RGB, the other byte order': [
      grey(new Uint8Array(count * 12), { bits: 32, format: 3, samples: 3, bigEndian: true }),
      /32-bit floating point/,
    ],
    'floating point of 64 bits': [grey(new Uint8Array(count * 8), { bits: 64, format: 3 }), /64-bit floating point/],
    'floating point of 16 bits': [grey(new Uint8Array(count * 2), { bits: 16, format: 3 }), /16-bit floating point/],
    'signed 32-bit integers': [grey(bytes(Int32Array.from(ramp)), { bits: 32, format: 2 }), /32-bit signed integers/],
    'signed 16-bit integers': [grey(bytes(Int16Array.from(ramp)), { bits: 16, format: 2 }), /16-bit signed integers/],
    'signed bytes': [grey(ramp, { format: 2 }), /8-bit signed integers/],
    'unsigned 32-bit integers': [
      grey(bytes(Uint32Array.from(ramp)), { bits: 32 }),
      /TIFF of 32 bits per sample, which is not supported; convert/,
    ],
    '12 bits': [grey(new Uint8Array(count * 2), { bits: 12 }), /12 bits per sample/],
    'complex numbers': [grey(new Uint8Array(count * 8), { bits: 64, format: 6 }), /complex numbers/],
    CIELab: [
      grey(new Uint8Array(count * 3), { samples: 3, photometric: 8 }),
      /a TIFF in CIELab, which is not supported; convert it to sRGB/,
    ],
    ICCLab: [grey(new Uint8Array(count * 3), { samples: 3, photometric: 9 }), /a TIFF in ICCLab/],
    LogLuv: [grey(new Uint8Array(count * 3), { samples: 3, photometric: 32845 }), /LogLuv/],
    'an unknown colour model': [grey(ramp, { photometric: 77 }), /colour model 77/],
    'an unknown compression': [
      grey(ramp, { compression: 34712 }),
      /compression 34712, which is not supported; save it with LZW/,
    ],
    'several samples beside the colours': [
      grey(new Uint8Array(count * 5), { samples: 5, photometric: 2, tags: { 338: [2, 0] } }),
      /^image is a TIFF of 5 samples per pixel, of which 3 are its colours; one more is read, as alpha or not at all; convert/,
    ],
    'several samples beside grey': [
      grey(new Uint8Array(count * 3), { samples: 3, photometric: 1 }),
      /TIFF of 3 samples/,
    ],
    DNG: [grey(ramp, { tags: { 50706: [0x01010000] } }), /a camera RAW file .* develop it/],
    'a preview before sensor data (NEF)': [grey(ramp, { tags: { 254: [1], 330: [8] } }), /a camera RAW file/],
    'sensor data': [grey(ramp, { photometric: 32803 }), /a camera RAW file/],
  };
  for (const [name, [file, message]] of Object.entries(cases)) {
    test(name, async () => {
      await assert.rejects(decodeImage(file), { name: 'ImageError', code: 'unsupported_format', message });
    });
  }

  test('CR2', async () => {
    const file = grey(ramp, {});
    const moved = Buffer.concat([
      file.subarray(0, 4),
      Buffer.from([16, 0, 0, 0]),
      Buffer.from('CR\x02\0\0\0\0\0'),
      file.subarray(8),
    ]);
    await assert.rejects(decodeImage(moved), { code: 'unsupported_format', message: /a camera RAW file/ });
  });
});

describe('a TIFF is damaged', () => {
  const refused = (message: RegExp) => ({ name: 'ImageError', code: 'corrupt', message });

  test('if its samples extend past the end of the file', async () => {
    const file = writeTiff(ramp, size);
    await assert.rejects(decodeImage(file.subarray(0, -1)), refused(/strip 0 ends at byte \d+, but the file has/));
  });

  test('if it is truncated anywhere', async () => {
    for (const options of [{}, { big: true }, { bigEndian: true }]) {
      const file = writeTiff(ramp, { ...size, ...options });
      for (let end = 4; end < file.length; end += 3) {
        await assert.rejects(decodeImage(file.subarray(0, end)), refused(/^TIFF is damaged/));
      }
    }
  });
});
