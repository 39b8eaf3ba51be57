import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkSettings, type FeatureSettings } from './featureSettings.js';

const model = { name: 'm', version: '1', stride: 32, preprocessing: { resize: 256, crop: 224 } };
const limit = (value: number) => ({ value, unit: 'pixels', description: '' });
const info = {
  limits: new Map([
    ['input_pixels', limit(2048 ** 2)],
    ['image_pixels', limit(1e8)],
  ]),
  models: [],
};
const check = (settings: Partial<FeatureSettings>) =>
  checkSettings({ size: { kind: 'native' }, space: 'backbone', ...settings }, model, info);
const refused = (settings: Partial<FeatureSettings>, message: RegExp) =>
  assert.throws(() => check(settings), { name: 'MatchSetError', code: 'bad_option', message });

test('settings that no photograph fits are refused by their flags', () => {
  refused({ tiles: { width: 100 } }, /^--tiles: width is 100, not a multiple/);
  refused({ tiles: { width: 128, overlap: 128 } }, /^--tiles: overlap is 128/);
  refused({ size: { kind: 'fit', width: 17, height: 19 } }, /^--resize: width is 17, not a multiple/);
  refused({ size: { kind: 'shortest', side: 4096 } }, /^--resize: network input of 4096 x 4096/);
  refused({ size: { kind: 'longest', side: 200_000 } }, /^--resize: network input of 200000 x 32/);
});

test('a longest side that is too large for a photograph is an error of the flag that names the photograph', () => {
  const photograph = check({ size: { kind: 'longest', side: 100_000 } });
  assert.throws(() => photograph('a.jpg', { width: 640, height: 480 }), {
    code: 'bad_option',
    message: /^--resize: a.jpg: network input of 100000 x 75008/,
  });
  check({ size: { kind: 'longest', side: 1024 } })('a.jpg', { width: 640, height: 480 });
  check({ size: { kind: 'shortest', side: 480 } })('long.jpg', { width: 100_000, height: 480 });
});
