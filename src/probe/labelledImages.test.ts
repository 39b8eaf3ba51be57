import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ImageSource } from '../data/sources.js';
import { splitLabelled } from './labelledImages.js';

/** A source of which only the labels matter. */
function source(classes: readonly string[], labels: readonly number[]): ImageSource {
  return {
    count: labels.length,
    nameOf: (i: number) => `${i}.jpg`,
    labelled: { classes, labels: Uint32Array.from(labels), origin: 'given' },
  } as unknown as ImageSource;
}

const ten = source(
  ['cat', 'dog'],
  Array.from({ length: 10 }, (_, i) => i % 2),
);

test('held-out images are a fifth at most, the same for a seed, and never learned from', () => {
  const options = { trainImages: 100, testImages: 100, seed: 1 };
  const { train, test: held, classes } = splitLabelled(ten, undefined, options);
  assert.deepEqual(classes, ['cat', 'dog']);
  assert.equal(held.indices.length, 2);
  assert.deepEqual(
    [...train.indices, ...held.indices].sort((a, b) => a - b),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  assert.deepEqual(splitLabelled(ten, undefined, options), splitLabelled(ten, undefined, options));
  assert.notDeepEqual(splitLabelled(ten, undefined, { ...options, seed: 2 }).train.indices, train.indices);
  for (const { indices, labels } of [train, held])
    assert.deepEqual(
      [...labels],
      indices.map((i) => i % 2),
    );
});

test('the numbers of images are maxima', () => {
  const { train, test: held } = splitLabelled(ten, undefined, { trainImages: 3, testImages: 1, seed: 1 });
  assert.deepEqual([train.indices.length, held.indices.length], [3, 1]);
});

test('classes of a test source are identified by name', () => {
  const tested = source(['ant', 'cat', 'dog'].slice(1), [1, 0, 1]);
  const train = source(['ant', 'cat', 'dog'], [0, 1, 2]);
  const { test: held } = splitLabelled(train, tested, { trainImages: 9, testImages: 9, seed: 1 });
  assert.deepEqual(held.indices.map((index, i) => [index, held.labels[i]]).sort(), [
    [0, 2],
    [1, 1],
    [2, 2],
  ]);
});

test('new classes of a test source follow those of the training images', () => {
  const options = { trainImages: 9, testImages: 9, seed: 1, newClasses: true };
  const tested = source(['yak', 'dog', 'ant'], [0, 1, 2, 0]);
  const { classes, train, test: held } = splitLabelled(ten, tested, options);
  assert.deepEqual(classes.slice(0, 2), ['cat', 'dog']);
  assert.deepEqual(classes.slice(2).sort(), ['ant', 'yak']);
  const names = new Map(held.indices.map((index, i) => [index, classes[held.labels[i]!]]));
  assert.deepEqual(
    [0, 1, 2, 3].map((index) => names.get(index)),
    ['yak', 'dog', 'ant', 'yak'],
  );
  assert.ok(train.labels.every((label) => label < 2));
  assert.deepEqual(ten.labelled!.classes, ['cat', 'dog']);
});

test('an unknown class, missing labels and too few images are named', () => {
  const options = { trainImages: 9, testImages: 9, seed: 1 };
  assert.throws(() => splitLabelled(ten, source(['cat', 'yak'], [1]), options), {
    name: 'DataError',
    message: '0.jpg is of the class "yak", which no training image has',
  });
  const { labelled: _, ...bare } = ten;
  assert.throws(() => splitLabelled(bare, undefined, options), /the source of 0\.jpg was opened without labels/);
  assert.throws(
    () => splitLabelled(source(['a', 'b'], [0, 1, 0, 1]), undefined, options),
    /4 labelled images are too few/,
  );
});
