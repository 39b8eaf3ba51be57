import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VicreglError } from '../client/vicreglError.js';
import { checkMaps, checkOptions } from './checkOptions.js';
import type { OutputSpec, Wanted } from './features.js';
import { optionOf } from './retry.js';

const outputs: readonly OutputSpec[] = [{ name: 'features', kind: 'map', channels: 16, stride: 32 }];
const limits = { output: { inputPixels: 2048 ** 2 }, imagePixels: 1e8, mapBytes: 1024 ** 2 };
const model = { crop: 224, stride: 32, outputs, limits };
const wanted = (features: Partial<NonNullable<Wanted['features']>> = {}): Wanted => ({
  dtype: 'float32',
  l2: false,
  features: { space: 'backbone', stages: [0], ...features },
});
const refused = (message: RegExp, ...args: [Wanted, Parameters<typeof checkOptions>[1]]) =>
  assert.throws(() => checkOptions(...args, model), { name: 'ExtractError', code: 'bad_option', message });

describe('options that no image fits', () => {
  test('are refused by their flags', () => {
    const fit = (width: number, height: number) => ({ kind: 'fit', width, height }) as const;
    refused(/^--resize: width is 17, not a multiple of the model's stride 32; use 32/, wanted(), fit(17, 19));
    refused(/^--resize: network input of 100000 x .* exceeds the limit/, wanted(), fit(100_000, 100_000));
    const shortest = (resize: number, crop: number) => ({ kind: 'shortestSide', resize, crop }) as const;
    refused(/^--resize: crop 128 is larger than resize 64/, wanted(), shortest(64, 128));
    refused(/^--resize: crop is 17, not a multiple/, wanted(), shortest(64, 17));
    refused(/^--resize: resize is 15, less than one cell/, wanted(), shortest(15, 32));
    refused(/^--tiles: width is 100, not a multiple/, wanted({ tiles: { width: 100 } }), { kind: 'native' });
    refused(/^--tiles: overlap is 128/, wanted({ tiles: { width: 128, overlap: 128 } }), { kind: 'native' });
    refused(/^--upsample: 1 rows and 1 columns: less/, wanted({ upsample: { rows: 1, columns: 1 } }), fit(64, 64));
    assert.equal(checkOptions(wanted(), fit(64, 64), model), undefined);
  });

  test('include maps over the limit, which is met exactly by 128 x 128 cells of 16 channels', () => {
    const fit = { kind: 'fit', width: 64, height: 64 } as const;
    checkOptions(wanted({ upsample: { rows: 128, columns: 128 } }), fit, model);
    checkOptions(wanted({ upsample: 64 }), fit, model);
    const message = /^--upsample: the map features of 128 x 129 cells .* over the limit of 1048576; enlarge it less/;
    refused(message, wanted({ upsample: { rows: 128, columns: 129 } }), fit);
    refused(/^--upsample: .* 130 x 130 cells/, wanted({ upsample: 65 }), fit);
    assert.throws(
      () => checkMaps({ width: 8192, height: 8192 }, undefined, outputs, limits.mapBytes),
      /256 x 256 cells/,
    );
  });
});

test("a service's error names an option, unless the image's own size decides", () => {
  const error = (message: string) => new VicreglError('INVALID_ARGUMENT', message);
  assert.equal(optionOf(error('tiles: width is 100'), false), 'tiles');
  assert.equal(optionOf(error('tiles: width is 100'), true), undefined);
  assert.equal(optionOf(error('space: unknown'), true), 'space');
  assert.equal(optionOf(error('image: damaged; see tiles'), false), undefined);
});
