import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Size } from '../../image/types.js';
import { bilinearMatrix } from '../../onnx/ops/resize.js';
import { stream } from '../../tensor/random.js';
import { tensor } from '../../tensor/tensor.js';
import { LogitBand } from './logitBand.js';
import { type LogitLabels, ownLabels, resizedLabels } from './logitLabels.js';
import { type WindowOptions, windowsOf } from './windows.js';

const CLASSES = 4;

/** Logits of every window of a photograph, at random: where windows overlap, they differ. */
function windowLogits(seen: Size, options: WindowOptions, seed: number) {
  const random = stream(seed, 'logits');
  return windowsOf(seen, options).map((window) => {
    const shape = [1, CLASSES, window.height, window.width];
    const length = CLASSES * window.height * window.width;
    return {
      window,
      logits: tensor(
        'float32',
        shape,
        Float32Array.from({ length }, () => random.uniform(-1, 1)),
      ),
    };
  });
}

/** As `segment` does it: band by band. */
function labelled(parts: ReturnType<typeof windowLogits>, seen: Size, found: LogitLabels): Uint8Array {
  const band = new LogitBand(CLASSES, seen.width, parts[0]!.window.height);
  parts.forEach(({ window, logits }, i) => {
    band.add(window, logits);
    const next = parts[i + 1];
    if (next === undefined) band.finish(seen.height, found.take);
    else if (next.window.top > window.top) band.finish(next.window.top, found.take);
  });
  return found.labels;
}

/** Means over the windows, resized by matrices (which equal PyTorch's interpolation), and the largest of them. */
function reference(parts: ReturnType<typeof windowLogits>, seen: Size, own: Size): Uint8Array {
  const means = Array.from({ length: CLASSES }, (_, k) => {
    const [sums, counts] = [new Float64Array(seen.width * seen.height), new Float64Array(seen.width * seen.height)];
    for (const { window, logits } of parts) {
      for (let y = 0; y < window.height; y++) {
        for (let x = 0; x < window.width; x++) {
          const at = (window.top + y) * seen.width + window.left + x;
          sums[at]! += logits.data[(k * window.height + y) * window.width + x]!;
          counts[at]! += 1;
        }
      }
    }
    return sums.map((sum, i) => sum / counts[i]!);
  });
  const [down, across] = [bilinearMatrix(seen.height, own.height), bilinearMatrix(seen.width, own.width)];
  const at = (map: Float64Array, y: number, x: number) => {
    let value = 0;
    for (let i = 0; i < seen.height; i++) {
      const row = down[y * seen.height + i]!;
      if (row === 0) continue;
      for (let j = 0; j < seen.width; j++) value += row * across[x * seen.width + j]! * map[i * seen.width + j]!;
    }
    return value;
  };
  return Uint8Array.from({ length: own.width * own.height }, (_, i) => {
    const values = means.map((map) => at(map, Math.floor(i / own.width), i % own.width));
    return values.indexOf(Math.max(...values));
  });
}

const sizes: readonly (readonly [seen: Size, own: Size])[] = [
  [
    { width: 30, height: 24 },
    { width: 20, height: 16 },
  ],
  [
    { width: 30, height: 24 },
    { width: 41, height: 33 },
  ],
  [
    { width: 24, height: 30 },
    { width: 7, height: 9 },
  ],
  [
    { width: 9, height: 1 },
    { width: 27, height: 3 },
  ],
  [
    { width: 40, height: 10 },
    { width: 4, height: 1 },
  ],
];

describe('labels of a rescaled photograph', () => {
  for (const [i, [seen, own]] of sizes.entries()) {
    for (const options of [
      { side: 512, step: 341 },
      { side: 10, step: 7 },
    ]) {
      it(`are those of resized means: ${seen.width} x ${seen.height} to ${own.width} x ${own.height} in windows of ${options.side}`, () => {
        const parts = windowLogits(seen, options, i);
        assert.deepEqual(
          labelled(parts, seen, resizedLabels(own, seen, windowsOf(seen, options))),
          reference(parts, seen, own),
        );
      });
    }
  }

  it('are the same as without resizing where the size is the same', () => {
    const seen = { width: 26, height: 19 };
    const options = { side: 10, step: 4 };
    const parts = windowLogits(seen, options, 9);
    const same = labelled(parts, seen, resizedLabels(seen, seen, windowsOf(seen, options)));
    assert.deepEqual(same, labelled(parts, seen, ownLabels(seen)));
    assert.deepEqual(same, reference(parts, seen, seen));
  });
});
