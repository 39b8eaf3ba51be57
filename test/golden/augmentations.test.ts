import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gaussianBlur } from '../../src/data/blur.js';
import { adjustBrightness, adjustContrast, adjustSaturation, greyscale, solarize } from '../../src/data/color.js';
import { adjustHue } from '../../src/data/hue.js';

interface Golden {
  source: string;
  width: number;
  height: number;
  pixels: number[];
  cases: { op: string; factor: number; expected: number[] }[];
}

const golden: Golden = JSON.parse(readFileSync('test/golden/pil_augment.json', 'utf8'));

const operations: Record<string, (pixels: Uint8Array, factor: number) => void> = {
  brightness: adjustBrightness,
  contrast: adjustContrast,
  saturation: adjustSaturation,
  hue: adjustHue,
  greyscale,
  solarize,
  blur: (pixels, sigma) => gaussianBlur(pixels, golden.width, golden.height, sigma),
};

for (const { op, factor, expected } of golden.cases) {
  test(`${op} ${factor} equals Pillow's, byte for byte`, () => {
    const pixels = Uint8Array.from(golden.pixels);
    operations[op]!(pixels, factor);
    assert.deepEqual([...pixels], expected);
  });
}
