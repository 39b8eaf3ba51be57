import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import { decodeImage, rawImage } from './decode.js';
import type { RgbImage } from './types.js';

const limits = { imageBytes: 4 * 1024 * 1024, imagePixels: 1_000_000 };

/** A lossless test card: left half red, right half blue, top row of pixels green. */
function card(width = 24, height = 16): Sharp {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const colour = y === 0 ? [0, 255, 0] : x < width / 2 ? [255, 0, 0] : [0, 0, 255];
      data.set(colour, (y * width + x) * 3);
    }
  }
  return sharp(data, { raw: { width, height, channels: 3 } });
}

function pixel(image: RgbImage, x: number, y: number): number[] {
  return [...image.data.subarray((y * image.width + x) * 3, (y * image.width + x) * 3 + 3)];
}

function near(actual: number[], expected: number[], tolerance: number): void {
  const far = actual.some((value, i) => Math.abs(value - expected[i]!) > tolerance);
  assert.ok(!far, `[${actual}] is not within ${tolerance} of [${expected}]`);
}

const imageError = (code: string, message: RegExp) => ({ name: 'ImageError', code, message });

describe('decodeImage', () => {
  const encoders: Record<string, [(image: Sharp) => Sharp, number]> = {
    jpeg: [(image) => image.jpeg({ quality: 100, chromaSubsampling: '4:4:4' }), 6],
    png: [(image) => image.png(), 0],
    webp: [(image) => image.webp({ lossless: true }), 0],
    gif: [(image) => image.gif(), 0],
    tiff: [(image) => image.tiff({ compression: 'lzw' }), 0],
    avif: [(image) => image.avif({ lossless: true, chromaSubsampling: '4:4:4' }), 2],
  };
  for (const [format, [encode, tolerance]] of Object.entries(encoders)) {
    it(`reads ${format}`, async () => {
      const image = await decodeImage(await encode(card()).toBuffer(), limits);
      assert.deepEqual([image.width, image.height, image.data.length], [24, 16, 24 * 16 * 3]);
      near(pixel(image, 3, 8), [255, 0, 0], tolerance);
      near(pixel(image, 20, 8), [0, 0, 255], tolerance);
      if (format !== 'jpeg') near(pixel(image, 3, 0), [0, 255, 0], tolerance);
    });
  }

  it('reads a photograph', async () => {
    const image = await decodeImage(await readFile('test/fixtures/photos/astronaut.jpg'), limits);
    assert.deepEqual([image.width, image.height], [512, 512]);
  });

  it('applies EXIF orientation', async () => {
    const rotated = await card().withMetadata({ orientation: 6 }).png().toBuffer(); // displayed rotated by 90 degrees clockwise
    const image = await decodeImage(rotated, limits);
    assert.deepEqual([image.width, image.height], [16, 24]);
    assert.deepEqual(pixel(image, 15, 3), [0, 255, 0], 'the top row became the right column');
    assert.deepEqual(pixel(image, 3, 3), [255, 0, 0]);
  });

  it('converts greyscale, 16-bit and CMYK to three 8-bit channels', async () => {
    const grey = await sharp(new Uint8Array(16).fill(100), { raw: { width: 4, height: 4, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    assert.equal((await sharp(grey).metadata()).channels, 1);
    assert.deepEqual(pixel(await decodeImage(grey, limits), 1, 1), [100, 100, 100]);
    const deep = await card().toColourspace('rgb16').png().toBuffer();
    assert.equal((await sharp(deep).metadata()).depth, 'ushort');
    assert.deepEqual(pixel(await decodeImage(deep, limits), 20, 8), [0, 0, 255]);
    const print = await card().toColourspace('cmyk').jpeg().toBuffer();
    assert.equal((await sharp(print).metadata()).channels, 4);
    const decoded = await decodeImage(print, limits);
    assert.equal(decoded.data.length, 24 * 16 * 3);
    const [red, green, blue] = pixel(decoded, 3, 8) as [number, number, number];
    assert.ok(red > 180 && green < 90 && blue < 90, `${[red, green, blue]} is not red`);
  });

  it('composites transparent pixels over white', async () => {
    const data = new Uint8Array(4 * 4 * 4); // black, fully transparent
    data.set([255, 0, 0, 255], 0);
    data.set([0, 0, 0, 128], 4);
    const image = await decodeImage(
      await sharp(data, { raw: { width: 4, height: 4, channels: 4 } })
        .png()
        .toBuffer(),
    );
    assert.deepEqual(
      [pixel(image, 0, 0), pixel(image, 3, 3)],
      [
        [255, 0, 0],
        [255, 255, 255],
      ],
    );
    near(pixel(image, 1, 0), [127, 127, 127], 1);
    const deep = await sharp(data, { raw: { width: 4, height: 4, channels: 4 } })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    assert.deepEqual(pixel(await decodeImage(deep), 3, 3), [255, 255, 255]);
  });

  it('decodes the first frame of an animation', async () => {
    const frames = new Uint8Array(8 * 16 * 3).fill(255, 8 * 8 * 3); // black, then white
    const raw = { width: 8, height: 16, channels: 3, pageHeight: 8 } as const;
    for (const animated of [sharp(frames, { raw }).gif(), sharp(frames, { raw }).webp({ lossless: true })]) {
      const bytes = await animated.toBuffer();
      assert.equal((await sharp(bytes, { animated: true }).metadata()).pages, 2);
      const image = await decodeImage(bytes, limits);
      assert.deepEqual([image.width, image.height, pixel(image, 4, 4)], [8, 8, [0, 0, 0]]);
    }
  });

  it('composites the first frame of an animated WebP over white where it does not cover the canvas', async () => {
    const still = await sharp({ create: { width: 20, height: 16, channels: 3, background: 'red' } })
      .webp({ lossless: true })
      .toBuffer();
    const number = (value: number) => Buffer.from([value & 255, value >> 8, 0]);
    const chunk = (type: string, ...parts: Uint8Array[]) => {
      const data = Buffer.concat(parts);
      const head = Buffer.from(`${type}\0\0\0\0`);
      head.writeUInt32LE(data.length, 4);
      return Buffer.concat([head, data]);
    };
    // Offsets are halves, and sizes one less.
    const place = Buffer.concat([number(5), number(4), number(19), number(15), number(100), Buffer.of(0)]);
    for (const background of [Buffer.of(0, 0, 0, 255), Buffer.of(0, 0, 0, 0)]) {
      const canvas = chunk('VP8X', Buffer.of(2, 0, 0, 0), number(39), number(29));
      const animation = chunk('ANIM', background, Buffer.of(0, 0));
      const frames = [chunk('ANMF', place, still.subarray(12)), chunk('ANMF', place, still.subarray(12))];
      const image = await decodeImage(chunk('RIFF', Buffer.from('WEBP'), canvas, animation, ...frames), limits);
      assert.deepEqual([image.width, image.height], [40, 30]);
      assert.deepEqual(
        [pixel(image, 10, 8), pixel(image, 29, 23)],
        [
          [255, 0, 0],
          [255, 0, 0],
        ],
      );
      assert.deepEqual(
        [pixel(image, 9, 8), pixel(image, 30, 23), pixel(image, 10, 7)],
        new Array(3).fill([255, 255, 255]),
      );
    }
  });

  it('rejects other formats, even those that sharp supports', async () => {
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>');
    const polyglot = Buffer.from(`GIF89a<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>`);
    for (const bytes of [svg, Buffer.from('%PDF-1.7\n'), Buffer.from('BM\0\0'), Buffer.from('hello')]) {
      await assert.rejects(
        decodeImage(bytes, limits),
        imageError('unsupported_format', /jpeg, png, webp, gif, tiff, avif/),
      );
    }
    await assert.rejects(decodeImage(new Uint8Array(0)), imageError('unsupported_format', /empty \(0 bytes\)/));
    await assert.rejects(decodeImage(polyglot, limits), { name: 'ImageError' });
  });

  it('rejects every truncation of a file as corrupt', async () => {
    const photo = await readFile('test/fixtures/photos/coffee.jpg');
    const image = sharp(photo).resize(200, 150, { fit: 'fill' });
    const files = {
      jpeg: await image.clone().jpeg().toBuffer(),
      progressive: await image.clone().jpeg({ progressive: true }).toBuffer(),
      png: await image.clone().png().toBuffer(),
      webp: await image.clone().webp().toBuffer(),
      tiff: await image.clone().tiff({ compression: 'lzw' }).toBuffer(),
    };
    for (const [name, bytes] of Object.entries(files)) {
      await decodeImage(bytes, limits);
      for (const share of [0.2, 0.5, 0.9]) {
        const cut = bytes.subarray(0, Math.floor(bytes.length * share));
        await assert.rejects(
          decodeImage(cut, limits),
          imageError('corrupt', /transferred completely/),
          `${name} cut at ${share}`,
        );
      }
    }
    const noise = Uint8Array.from({ length: 500 }, (_, i) => (i * 89) % 256);
    noise.set([0xff, 0xd8, 0xff]);
    await assert.rejects(decodeImage(noise, limits), imageError('corrupt', /cannot be decoded as jpeg/));
  });

  it('rejects images over a limit before decoding', async () => {
    const bytes = await card(1200, 1000).png().toBuffer();
    await assert.rejects(
      decodeImage(bytes, limits),
      imageError('too_large', /1200 x 1000 = 1200000 pixels.*1000000 \(imagePixels\)/),
    );
    await assert.rejects(
      decodeImage(bytes, { imageBytes: 100, imagePixels: 1e9 }),
      imageError('too_large', /bytes exceeds the limit of 100 \(imageBytes\)/),
    );
  });
});

describe('rawImage', () => {
  it('uses the pixels without a copy', () => {
    const data = new Uint8Array(2 * 3 * 3);
    assert.equal(rawImage(data, 2, 3).data, data);
  });

  it('rejects sizes that do not match the number of bytes', () => {
    assert.throws(() => rawImage(new Uint8Array(17), 2, 3), imageError('bad_dimensions', /needs 18 bytes.*got 17/));
    assert.throws(() => rawImage(new Uint8Array(0), 0, 3), imageError('bad_dimensions', /width is 0/));
    assert.throws(() => rawImage(new Uint8Array(9), 3, 1.5), imageError('bad_dimensions', /height is 1.5/));
    assert.throws(() => rawImage(new Uint8Array(9), 2000, 2000, limits), imageError('too_large', /4000000 pixels/));
  });
});
