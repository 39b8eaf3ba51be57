import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureOpError } from '../../../featureOps/featureOpError.js';
import { ImageError } from '../../../image/imageError.js';
import { checkCount, checkRange, inField } from './fields.js';

test('errors of the image and dense layers get the name of the field, with an index as its continuation', () => {
  const named = (error: unknown) => (inField('pooling.regions', error) as Error).message;
  assert.equal(named(new ImageError('corrupt', 'cut off')), 'pooling.regions: cut off');
  assert.equal(named(new FeatureOpError('bad_region', 'no area')), 'pooling.regions: no area');
  assert.equal(named(new FeatureOpError('bad_region', '[3]: no area')), 'pooling.regions[3]: no area');
  const other = new TypeError('x');
  assert.equal(inField('image', other), other);
});

test('a number outside its range is rejected with its value, and an absent one is accepted', () => {
  const check = (value?: number) => checkRange('ratio', value, (given) => given > 0, 'the numbers above 0');
  assert.throws(() => check(0), { code: 'invalid_argument', message: 'ratio: 0 is outside the numbers above 0' });
  check(1);
  check();
});

test('a repeated field has from 1 up to the limit of values', () => {
  const ways = { none: 'send one', tooMany: 'send several requests' };
  const check = (length: number) => checkCount('targets', { length }, { matchTargets: 2 }, 'matchTargets', ways);
  assert.throws(() => check(0), { code: 'invalid_argument', message: 'targets: empty; send one' });
  assert.throws(() => check(3), {
    message: 'targets: 3 are over the limit of 2 (matchTargets); send several requests',
  });
  check(1);
  check(2);
});
