import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ImageSource } from '../../data/sources.js';
import type { LabelledImages } from '../../probe/labelledImages.js';
import { heldOutPlaces, imagesAt, requireTestedClasses, stratifiedSubset } from './trainSubset.js';

const source = { nameOf: (index: number) => `${index}.jpg` } as ImageSource;
const classes = ['cat', 'dog'];
/** 60 cats and 20 dogs, among each other. */
const images: LabelledImages = {
  source,
  indices: Array.from({ length: 80 }, (_, i) => 500 + i),
  labels: Uint32Array.from({ length: 80 }, (_, i) => (i % 4 === 3 ? 1 : 0)),
};
const counts = ({ labels }: LabelledImages) => classes.map((_, c) => labels.filter((label) => label === c).length);

describe('a share of the training images', () => {
  it('has the share of each class, and is part of a larger share of the same seed', () => {
    const ten = stratifiedSubset(images, classes, { percent: 10, seed: 4 });
    const half = stratifiedSubset(images, classes, { percent: 50, seed: 4 });
    assert.deepEqual(
      [counts(ten), counts(half)],
      [
        [6, 2],
        [30, 10],
      ],
    );
    assert.ok(ten.indices.every((index) => half.indices.includes(index)));
    for (const [i, index] of half.indices.entries()) assert.equal(half.labels[i], images.labels[index - 500]);
    assert.deepEqual(stratifiedSubset(images, classes, { percent: 10, seed: 4 }), ten);
    assert.notDeepEqual(stratifiedSubset(images, classes, { percent: 10, seed: 5 }).indices, ten.indices);
    assert.equal(stratifiedSubset(images, classes, { percent: 100, seed: 4 }), images);
  });

  it('names the class that it would leave without images, and a share that does not', () => {
    assert.throws(() => stratifiedSubset(images, classes, { percent: 1, seed: 4 }), {
      name: 'DataError',
      message: /--train-percent 1 leaves the class "dog" without images, as it has only 20; use at least 3/,
    });
    assert.deepEqual(counts(stratifiedSubset(images, classes, { percent: 3, seed: 4 })), [2, 1]);
  });
});

describe('held-out training images', () => {
  it('are a tenth of each class', () => {
    const marks = heldOutPlaces(images, 2, 1);
    assert.deepEqual(counts(imagesAt(images, marks)), [6, 2]);
    assert.deepEqual(
      counts(
        imagesAt(
          images,
          marks.map((mark) => !mark),
        ),
      ),
      [54, 18],
    );
  });

  it('cannot be taken from classes of one image', () => {
    const single = { source, indices: [0, 1], labels: Uint32Array.of(0, 1) };
    assert.throws(() => heldOutPlaces(single, 2, 1), /2 training images are too few .* give --lr once/);
  });
});

it('a tested class without training images is named with an image of it', () => {
  const test = { source, indices: [1, 7], labels: Uint32Array.of(0, 1) };
  requireTestedClasses(images, test, classes);
  const cats = imagesAt(
    images,
    [...images.labels].map((label) => label === 0),
  );
  assert.throws(() => requireTestedClasses(cats, test, classes), {
    name: 'DataError',
    message: /the test image 7\.jpg is of the class "dog", of which none of the 60 training images is/,
  });
});
