import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stream } from '../tensor/random.js';
import { augment, drawAugmentation, noAugmentation, paperAugmentation } from './augment.js';

const [even, odd] = paperAugmentation;

test('drawn values follow the probabilities and ranges of the policy', () => {
  const random = stream(1);
  const drawn = Array.from({ length: 4000 }, () => drawAugmentation(random, odd));
  const share = (has: (one: (typeof drawn)[number]) => boolean) => drawn.filter(has).length / drawn.length;
  assert.ok(Math.abs(share(({ jitter }) => jitter.length === 4) - 0.8) < 0.03);
  assert.ok(Math.abs(share(({ greyscale }) => greyscale) - 0.2) < 0.03);
  assert.ok(Math.abs(share(({ blurSigma }) => blurSigma !== undefined) - 0.1) < 0.03);
  assert.ok(Math.abs(share(({ solarize }) => solarize === 128) - 0.2) < 0.03);
  assert.ok(Math.abs(share(({ jitter }) => jitter[0]?.operation === 'hue') - 0.2) < 0.03, 'order is random');
  const range = { brightness: [0.6, 1.4], contrast: [0.6, 1.4], saturation: [0.8, 1.2], hue: [-0.1, 0.1] } as const;
  for (const { jitter, blurSigma } of drawn) {
    for (const { operation, factor } of jitter) {
      assert.ok(factor >= range[operation][0] && factor <= range[operation][1], `${operation} ${factor}`);
    }
    if (blurSigma !== undefined) assert.ok(blurSigma >= 0.1 && blurSigma <= 2);
  }
  assert.ok(drawAugmentation(random, even).blurSigma !== undefined);
});

test('parameters without any operation leave the pixels unchanged', () => {
  const pixels = Uint8Array.from({ length: 8 * 6 * 3 }, (_, i) => (i * 37) & 255);
  const drawn = drawAugmentation(stream(2), noAugmentation);
  const copy = pixels.slice();
  augment(copy, 8, 6, drawn);
  assert.deepEqual(copy, pixels);
});

test('operations apply in the order drawn, then greyscale, blur and solarize', () => {
  const pixels = Uint8Array.of(200, 100, 50);
  augment(pixels, 1, 1, {
    jitter: [
      { operation: 'brightness', factor: 1.5 },
      { operation: 'brightness', factor: 0.5 },
    ],
    greyscale: true,
    blurSigma: 1,
    solarize: 128,
  });
  // 200 -> 255 (clamped) -> 127, 100 -> 75, 50 -> 37; luma .299 * 127 + .587 * 75 + .114 * 37 = 86.2; under 128.
  assert.deepEqual([...pixels], [86, 86, 86]);
});
