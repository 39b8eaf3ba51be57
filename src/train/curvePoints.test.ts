import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCurvePoints } from './curvePoints.js';

describe('points of curves', () => {
  it('are the records themselves while there are few', () => {
    const curve = createCurvePoints();
    curve.add({ step: 1, l: 3 });
    curve.add({ step: 1, skipped: 'a.jpg', reason: 'broken' });
    curve.add({ step: 2, l: 5 });
    assert.deepEqual(curve.points(), [
      { step: 1, means: { l: 3 } },
      { step: 2, means: { l: 5 } },
    ]);
  });

  it('are means over equal numbers of steps if there are many, never more than the limit', () => {
    const curve = createCurvePoints(8);
    for (let step = 1; step <= 100; step++) {
      curve.add({ step, l: step });
      assert.ok(curve.points().length <= 8);
    }
    const points = curve.points();
    // 100 steps in points of 16: six whole ones and 4 steps
    assert.deepEqual(
      points.map(({ step }) => step),
      [16, 32, 48, 64, 80, 96, 100],
    );
    assert.deepEqual(
      points.map(({ means }) => means['l']),
      [8.5, 24.5, 40.5, 56.5, 72.5, 88.5, 98.5],
    );
  });

  it('include terms that are logged occasionally in the point of their step', () => {
    const curve = createCurvePoints(2);
    for (let step = 1; step <= 4; step++) {
      curve.add({ step, l: step });
      if (step % 2 === 0) curve.add({ step, knn_top1: step / 10 });
    }
    assert.deepEqual(curve.points(), [
      { step: 2, means: { l: 1.5, knn_top1: 0.2 } },
      { step: 4, means: { l: 3.5, knn_top1: 0.4 } },
    ]);
  });
});
