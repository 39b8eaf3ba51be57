import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { turnsWhile } from '../../../test/support/turnsWhile.js';
import { stream } from '../../tensor/random.js';
import { measure } from './consensus.js';
import { fitHomography, type PointPairs } from './fitHomography.js';
import { homographyOfFour, isUsable } from './minimalSample.js';
import { type HomographyFit, ransacHomography, ransacHomographyInSlices } from './ransac.js';

/** A view of a plane by a tilted camera: keeps 640 x 480 pixels in front of it. */
const view = Float64Array.of(0.9, 0.15, 40, -0.1, 1.05, 25, 2e-4, -1.5e-4, 1);

function map(h: ArrayLike<number>, x: number, y: number): [number, number] {
  const w = h[6]! * x + h[7]! * y + h[8]!;
  return [(h[0]! * x + h[1]! * y + h[2]!) / w, (h[3]! * x + h[4]! * y + h[5]!) / w];
}

/** Points of 640 x 480 pixels and their images; the first `outliers` are random. */
function pairsOf(h: ArrayLike<number>, count: number, outliers: number, noise: number, seed: number): PointPairs {
  const random = stream(seed, 'pairs');
  const pairs = new Float64Array(count * 4);
  for (let i = 0; i < count; i++) {
    const [x, y] = [random.uniform(0, 640), random.uniform(0, 480)];
    const [u, v] = i < outliers ? [random.uniform(0, 640), random.uniform(0, 480)] : map(h, x, y);
    pairs.set([x, y, u + noise * random.normal(), v + noise * random.normal()], i * 4);
  }
  return pairs;
}

/** Largest distance in pixels between the images of the corners of 640 x 480 pixels under two homographies. */
function cornerError(h: ArrayLike<number>, other: ArrayLike<number>): number {
  const corners = [
    [0, 0],
    [640, 0],
    [0, 480],
    [640, 480],
  ] as const;
  return Math.max(
    ...corners.map(([x, y]) => {
      const [[u, v], [s, t]] = [map(h, x, y), map(other, x, y)];
      return Math.hypot(u - s, v - t);
    }),
  );
}

function found(fit: HomographyFit): HomographyFit & { found: true } {
  assert.ok(fit.found, JSON.stringify(fit));
  return fit;
}

describe('fitHomography', () => {
  it('recovers any homography from pairs without noise, with last element 1', () => {
    const number = (size: number) => fc.double({ min: -size, max: size, noNaN: true });
    fc.assert(
      fc.property(
        number(0.4),
        number(0.4),
        number(200),
        number(200),
        number(4e-4),
        number(4e-4),
        (a, b, x, y, p, q) => {
          const h = Float64Array.of(1 + a, b, x, -b, 1 - a, y, p, q, 1);
          const fit = fitHomography(pairsOf(h, 12, 0, 0, 1), [...Array(12).keys()]);
          assert.ok(fit);
          assert.equal(fit[8], 1);
          assert.ok(cornerError(fit, h) < 1e-5, `${cornerError(fit, h)} px`);
        },
      ),
    );
  });

  it('has no result if several homographies fit the pairs', () => {
    const pairs = pairsOf(view, 8, 0, 0, 2);
    assert.equal(fitHomography(pairs, [0, 1, 2]), undefined);
    assert.equal(fitHomography(pairs, [0, 1, 2, 2]), undefined);
    for (let i = 0; i < 8; i++) pairs.set([i * 10, i * 20, ...map(view, i * 10, i * 20)], i * 4);
    assert.equal(fitHomography(pairs, [0, 1, 2, 3, 4, 5, 6, 7]), undefined);
  });

  it('has no result if sums of the coordinates overflow', () => {
    const pairs = pairsOf(view, 8, 0, 0, 2).map((value, i) => value * (i % 4 < 2 ? 1e306 : 1));
    assert.equal(fitHomography(pairs, [0, 1, 2, 3, 4, 5, 6, 7]), undefined);
  });
});

describe('homographyOfFour', () => {
  it('maps four points in general position exactly to four others, as least squares does', () => {
    const corner = (x: number, y: number) =>
      fc.tuple(
        fc.double({ min: x - 200, max: x + 200, noNaN: true }),
        fc.double({ min: y - 200, max: y + 200, noNaN: true }),
      );
    const square = fc.tuple(corner(300, 300), corner(1500, 300), corner(300, 1500), corner(1500, 1500));
    fc.assert(
      fc.property(square, square, (from, to) => {
        const pairs = Float64Array.from(from.flatMap((point, i) => [...point, ...to[i]!]));
        const h = homographyOfFour(pairs, [0, 1, 2, 3]);
        const squares = fitHomography(pairs, [0, 1, 2, 3]);
        fc.pre(h !== undefined && squares !== undefined);
        for (const [i, [x, y]] of from.entries()) {
          const [u, v] = map(h, x, y);
          assert.ok(Math.hypot(u - to[i]![0], v - to[i]![1]) < 1e-6);
          const [s, t] = map(squares, x, y);
          assert.ok(Math.hypot(u - s, v - t) < 1e-6);
        }
      }),
    );
  });

  it('accepts points in any order and from any position among the pairs', () => {
    const pairs = pairsOf(view, 30, 0, 0, 3);
    for (const sample of [
      [0, 7, 19, 4],
      [29, 1, 12, 8],
    ] as const) {
      const h = homographyOfFour(pairs, [...sample]);
      assert.ok(h && cornerError(h, view) < 1e-6);
    }
  });

  it('has no result if the pixel (0, 0) maps to infinity', () => {
    // x' = 1 / x, y' = y / x.
    const points = [
      [1, 1],
      [2, 5],
      [4, 1],
      [8, 7],
    ] as const;
    const pairs = Float64Array.from(points.flatMap(([x, y]) => [x, y, 1 / x, y / x]));
    assert.equal(homographyOfFour(pairs, [0, 1, 2, 3]), undefined);
  });
});

describe('isUsable', () => {
  it('takes four pairs whose triangles all keep or all change their orientation, and no three points on a line', () => {
    const square = [
      [0, 0],
      [10, 0],
      [10, 10],
      [0, 10],
    ] as const;
    const usable = (to: readonly (readonly [number, number])[]) =>
      isUsable(Float64Array.from(square.flatMap((point, i) => [...point, ...to[i]!])), [0, 1, 2, 3]);
    const [a, b, c, d] = square;
    assert.equal(usable([a, b, c, d]), true);
    assert.equal(usable([b, a, d, c]), true, 'a mirror image');
    assert.equal(
      usable([a, b, d, c]),
      false,
      'two corners are exchanged: a homography of them would cross the horizon',
    );
    assert.equal(usable([a, b, c, [9, 8]]), false, 'the last corner lies beyond the diagonal');
    assert.equal(usable([a, b, c, [5, 0]]), false, 'three on a line');
  });
});

describe('ransacHomography', () => {
  it('finds the inliers and the homography with half outliers, to fractions of a pixel', () => {
    for (let seed = 0; seed < 5; seed++) {
      const pairs = pairsOf(view, 200, 100, 0.5, seed);
      const fit = found(ransacHomography(pairs, { threshold: 3, seed }));
      assert.ok(cornerError(fit.matrix, view) < 1.5, `seed ${seed}: ${cornerError(fit.matrix, view)} px`);
      const right = [...fit.inliers].filter((i) => i >= 100).length;
      assert.ok(right >= 98 && fit.inliers.length - right <= 5, `seed ${seed}: ${right} of ${fit.inliers.length}`);
      assert.ok(fit.rms > 0.4 && fit.rms < 1.2, `${fit.rms}`);
    }
  });

  it('finds it with 80 % outliers, with as many samples as required', () => {
    const fit = found(ransacHomography(pairsOf(view, 400, 320, 0.3, 7), { threshold: 2, maxIterations: 20_000 }));
    assert.ok(cornerError(fit.matrix, view) < 2, `${cornerError(fit.matrix, view)} px`);
    assert.ok(fit.iterations > 1000, `${fit.iterations} samples`);
  });

  it('finds it with the outlier share of dense maps and the default number of samples', () => {
    for (let seed = 0; seed < 5; seed++) {
      const fit = found(ransacHomography(pairsOf(view, 400, 340, 1, seed), { threshold: 8, seed }));
      assert.ok(cornerError(fit.matrix, view) < 12, `seed ${seed}: ${cornerError(fit.matrix, view)} px`);
    }
  });

  it('stops early if nearly all pairs agree, and later for a higher confidence', () => {
    const pairs = pairsOf(view, 100, 20, 0.2, 3);
    const [few, many] = [0.9, 0.999999].map((confidence) => ransacHomography(pairs, { threshold: 3, confidence }));
    assert.ok(few!.iterations < many!.iterations, `${few!.iterations}, ${many!.iterations}`);
    assert.ok(many!.iterations < 200, `${many!.iterations}`);
    assert.equal(found(ransacHomography(pairsOf(view, 50, 0, 0, 4), { threshold: 1 })).iterations, 1);
  });

  it('is a pure function of its input and seed', async () => {
    const pairs = pairsOf(view, 60, 30, 1, 5);
    const fit = ransacHomography(pairs, { threshold: 3, seed: 9 });
    assert.deepEqual(ransacHomography(pairs, { threshold: 3, seed: 9 }), fit);
    const { signal } = new AbortController();
    assert.deepEqual(await ransacHomographyInSlices(pairs, { threshold: 3, seed: 9 }, signal), fit);
  });

  it('counts no pair on the other side of the horizon, where no camera sees it', () => {
    // x' = x / (1 + x / 100): the horizon is at x = -100, and pairs beyond it fit the matrix as exactly.
    const behind = Float64Array.of(1, 0, 0, 0, 1, 0, 0.01, 0, 1);
    const points = [
      [10, 0],
      [50, 20],
      [-150, 7],
      [-200, -11],
      [20, -30],
      [5, 40],
    ] as const;
    const pairs = Float64Array.from(points.flatMap(([x, y]) => [x, y, ...map(behind, x, y)]));
    const ahead = [0, 1, 4, 5];
    for (const reference of ahead) {
      const { inliers, rms, cost } = measure(behind, pairs, 1, reference)!;
      assert.deepEqual([...inliers], ahead);
      assert.ok(rms < 1e-9, `${rms}`);
      assert.ok(Math.abs(cost - 2) < 1e-9, 'each of the others costs the squared threshold');
    }
    assert.deepEqual([...measure(behind, pairs, 1, 2)!.inliers], [2, 3]);
    const { matrix, inliers } = found(ransacHomography(pairs, { threshold: 1, maxIterations: 500 }));
    assert.deepEqual([...inliers], ahead);
    assert.ok(Math.abs(matrix[6]! - 0.01) < 1e-9, `${matrix}`);
  });

  it('fits mirror images', () => {
    const mirror = Float64Array.of(-1, 0, 640, 0, 1, 0, 0, 0, 1);
    const fit = found(ransacHomography(pairsOf(mirror, 60, 20, 0, 6), { threshold: 1 }));
    assert.ok(cornerError(fit.matrix, mirror) < 1e-6);
  });

  it('reports why there is no result', () => {
    const reason = (pairs: PointPairs) => {
      const fit = ransacHomography(pairs, { threshold: 3, maxIterations: 200 });
      return fit.found ? 'found' : fit.reason;
    };
    assert.equal(reason(new Float64Array(0)), 'too_few_pairs');
    assert.equal(reason(pairsOf(view, 3, 0, 0, 1)), 'too_few_pairs');
    const line = pairsOf(view, 30, 0, 0, 1);
    for (let i = 0; i < 30; i++) line.set([i * 3, i * 6 + 1], i * 4);
    assert.equal(reason(line), 'collinear');
    const point = pairsOf(view, 30, 0, 0, 1);
    for (let i = 0; i < 30; i++) point.set([5, 5], i * 4 + 2);
    assert.equal(reason(point), 'collinear');
    // Three on a line, and a fourth: no four of them in general position.
    const three = new Float64Array(16);
    for (const [i, [x, y]] of [
      [0, 0],
      [10, 10],
      [20, 20],
      [0, 30],
    ].entries())
      three.set([x!, y!, x!, y!], i * 4);
    assert.equal(reason(three), 'degenerate');
  });

  it('yields to the event loop, and stops when it is aborted', async () => {
    const pairs = pairsOf(view, 4000, 3990, 1, 8);
    const controller = new AbortController();
    const fitting = ransacHomographyInSlices(pairs, { threshold: 1, maxIterations: 100_000 }, controller.signal);
    setImmediate(() => controller.abort(new Error('given up')));
    await assert.rejects(fitting, /given up/);
  });

  it('also yields to the event loop between fits of very many pairs', async () => {
    const pairs = pairsOf(view, 20_000, 1000, 1, 9);
    // One sample is too little work for a pause.
    const options = { threshold: 3, maxIterations: 1 };
    const turns = await turnsWhile(async () => {
      const fit = await ransacHomographyInSlices(pairs, options, new AbortController().signal);
      assert.deepEqual(fit, ransacHomography(pairs, options));
    });
    assert.ok(turns >= 2, `${turns} turns`);
  });
});
