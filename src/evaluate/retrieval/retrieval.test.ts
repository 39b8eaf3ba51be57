import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tensor } from '../../tensor/tensor.js';
import { answerable, rankings, retrievalFigures } from './retrieval.js';

/** Vectors at angles in degrees; their lengths differ and have no effect. */
const at = (...angles: number[]) =>
  tensor(
    'float32',
    [angles.length, 2],
    Float32Array.from(
      angles.flatMap((angle, i) => [Math.cos, Math.sin].map((f) => (i + 1) * f((angle * Math.PI) / 180))),
    ),
  );
const options = { session: { threads: 1 } };

describe('retrieval', () => {
  it('finds training images by cosine similarity, for figures over test images', async () => {
    const gallery = { vectors: at(0, 10, 50, 90), labels: Uint32Array.of(0, 1, 0, 1) };
    const queries = { vectors: at(1, 85), labels: Uint32Array.of(0, 0) };
    const found = await rankings(queries, gallery, options);
    // From 1 degree: 0, 10, 50, 90, relevant are the first and third. From 85: 90, 50, 10, 0, the second and fourth.
    assert.deepEqual(found, [
      { averagePrecision: (1 + 2 / 3) / 2, firstRelevant: 0 },
      { averagePrecision: 0.5, firstRelevant: 1 },
    ]);
    const figures = retrievalFigures(found, [1, 2]);
    const all = Uint32Array.of(0, 1);
    assert.deepEqual(
      figures.map(({ name, over }) => [name, over(all).toFixed(9)]),
      [
        ['map', (2 / 3).toFixed(9)],
        ['recall1', '0.500000000'],
        ['recall2', '1.000000000'],
      ],
    );
  });

  it('leaves each image out of its own search, and names those that have nothing to find', async () => {
    const images = { vectors: at(0, 5, 90, 190), labels: Uint32Array.of(0, 1, 0, 2) };
    const found = await rankings(images, undefined, options);
    assert.deepEqual(answerable(found), [0, 2]);
    assert.deepEqual([found[0]!.averagePrecision, found[2]!.averagePrecision], [0.5, 0.5]);
    assert.deepEqual(images.vectors, at(0, 5, 90, 190));
    assert.deepEqual(await rankings(images, undefined, { ...options, inPlace: true }), found);
    assert.ok(Math.abs(images.vectors.data[7]! - Math.sin((190 * Math.PI) / 180)) < 1e-6);
  });

  it('ranks more queries than one run takes', async () => {
    const angles = Array.from({ length: 600 }, (_, i) => i / 4);
    const images = { vectors: at(...angles), labels: Uint32Array.from(angles, (angle) => (angle < 75 ? 0 : 1)) };
    const found = await rankings(images, undefined, options);
    assert.equal(found.length, 600);
    // The neighbours of the first image and of the last are of their classes, up to the border.
    assert.deepEqual([found[0]!.averagePrecision, found[599]!.firstRelevant], [1, 0]);
  });
});
