import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, test } from 'node:test';
import { stream } from '../tensor/random.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { principalComponents, project } from './pca.js';
import { checkReduction, reduceDimensions } from './reduce.js';

/** Vectors with the given standard deviations along the axes of a random rotation, and an offset. */
function cloud(vectors: number, deviations: readonly number[], seed: number): Tensor<'float32'> {
  const random = stream(seed, 'cloud');
  const channels = deviations.length;
  const mixing = Array.from({ length: channels }, () => Array.from({ length: channels }, () => random.normal()));
  const data = new Float32Array(vectors * channels);
  for (let i = 0; i < vectors; i++) {
    const source = deviations.map((deviation) => deviation * random.normal());
    for (let c = 0; c < channels; c++) {
      data[i * channels + c] = 5 + source.reduce((sum, value, j) => sum + value * mixing[j]![c]!, 0);
    }
  }
  return tensor('float32', [vectors, channels], data);
}

/** The covariance matrix by plain loops. */
function covariance({ shape, data }: Tensor<'float32'>): number[][] {
  const [vectors = 0, channels = 0] = shape;
  const mean = Array.from({ length: channels }, (_, c) => {
    let sum = 0;
    for (let i = 0; i < vectors; i++) sum += data[i * channels + c]!;
    return sum / vectors;
  });
  return mean.map((meanA, a) =>
    mean.map((meanB, b) => {
      let sum = 0;
      for (let i = 0; i < vectors; i++) {
        sum += (data[i * channels + a]! - meanA) * (data[i * channels + b]! - meanB);
      }
      return sum / (vectors - 1);
    }),
  );
}

/** All eigenvalues of a symmetric matrix by Jacobi rotations, largest first. */
function eigenvalues(matrix: readonly (readonly number[])[]): number[] {
  const a = matrix.map((row) => [...row]);
  const n = a.length;
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const angle = 0.5 * Math.atan2(2 * a[p]![q]!, a[q]![q]! - a[p]![p]!);
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        for (let k = 0; k < n; k++) {
          const [kp, kq] = [a[k]![p]!, a[k]![q]!];
          [a[k]![p], a[k]![q]] = [cos * kp - sin * kq, sin * kp + cos * kq];
        }
        for (let k = 0; k < n; k++) {
          const [pk, qk] = [a[p]![k]!, a[q]![k]!];
          [a[p]![k], a[q]![k]] = [cos * pk - sin * qk, sin * pk + cos * qk];
        }
      }
    }
  }
  return a.map((row, i) => row[i]!).sort((x, y) => y - x);
}

function near(actual: number, expected: number, share: number, what: string): void {
  assert.ok(
    Math.abs(actual - expected) <= share * Math.max(Math.abs(expected), 1e-12),
    `${what}: ${actual}, ${expected}`,
  );
}

describe('principal components against a reference computation', () => {
  for (const [name, vectors, deviations, k] of [
    ['more vectors than channels', 300, [5, 3, 2, 1, 0.5, 0.3, 0.2, 0.1, 0.05], 4],
    ['fewer vectors than channels', 12, Array.from({ length: 40 }, (_, i) => 1 / (i + 1)), 5],
    ['all components', 50, [3, 2, 1, 0.5], 4],
  ] as const) {
    test(name, () => {
      const data = cloud(vectors, deviations, vectors);
      const channels = deviations.length;
      const matrix = covariance(data);
      const expected = eigenvalues(matrix);
      const { basis, variances, totalVariance } = principalComponents(data, k);
      for (let i = 0; i < k; i++) near(variances[i]!, expected[i]!, 1e-6, `variance ${i}`);
      near(
        totalVariance,
        matrix.reduce((sum, row, i) => sum + row[i]!, 0),
        1e-6,
        'total',
      );
      for (let i = 0; i < k; i++) {
        const component = [...basis.components.data.subarray(i * channels, (i + 1) * channels)];
        // A component is an eigenvector of length 1 whose largest element is positive.
        const image = matrix.map((row) => row.reduce((sum, value, j) => sum + value * component[j]!, 0));
        for (const [j, value] of image.entries()) {
          assert.ok(Math.abs(value - variances[i]! * component[j]!) <= 1e-5 * variances[0]!);
        }
        near(Math.hypot(...component), 1, 1e-6, 'length');
        const largest = component.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
        assert.ok(largest > 0);
      }
      // The coordinates of the vectors have these variances and are uncorrelated.
      const coordinates = covariance(project(data, basis));
      for (let i = 0; i < k; i++) {
        for (let j = 0; j < k; j++) {
          assert.ok(Math.abs(coordinates[i]![j]! - (i === j ? variances[i]! : 0)) <= 1e-5 * variances[0]!);
        }
      }
    });
  }

  test('a repeated eigenvalue is found with its multiplicity', () => {
    // Every unit vector once: the covariance has the eigenvalue 1 / 7 seven times, and 0.
    const data = tensor(
      'float32',
      [8, 8],
      Float32Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 1 : 0)),
    );
    for (const variance of principalComponents(data, 7).variances) near(variance, 1 / 7, 1e-9, 'variance');
  });

  test('identical vectors have no variance, but a basis', () => {
    const { basis, variances, totalVariance } = principalComponents(
      tensor('float32', [6, 4], new Float32Array(24).fill(2)),
      3,
    );
    assert.deepEqual(variances, [0, 0, 0]);
    assert.equal(totalVariance, 0);
    assert.ok(basis.components.data.every(Number.isFinite));
  });

  test('the same vectors give the same components', () => {
    const data = cloud(100, [2, 1, 1, 1, 0.5], 9);
    assert.deepEqual(principalComponents(data, 3), principalComponents(data, 3));
  });
});

describe('reduceDimensions', () => {
  test('returns the same result in its thread as the functions, and accepts a basis', async () => {
    const data = cloud(60, [3, 2, 1, 0.5], 4);
    const { signal } = new AbortController();
    const reduced = await reduceDimensions(data, { components: 2 }, signal);
    const { basis, variances } = principalComponents(data, 2);
    assert.deepEqual(reduced.basis, basis);
    assert.deepEqual(reduced.variances, variances);
    assert.deepEqual(reduced.vectors, project(data, basis));
    const again = await reduceDimensions(data, { basis }, signal);
    assert.deepEqual(again.vectors, reduced.vectors);
    assert.equal(again.basis, undefined);
    near(again.variances[0]!, variances[0]!, 1e-5, 'variance under the given basis');
  });

  test('stops when it is aborted', async () => {
    const aborted = new AbortController();
    const running = reduceDimensions(cloud(3000, new Array(200).fill(1), 5), { components: 60 }, aborted.signal);
    aborted.abort(new Error('given up'));
    await assert.rejects(running, /given up/);
  });

  test('leaves no listener on a long-lived signal, such as that of a stream', async () => {
    const { signal } = new AbortController();
    await reduceDimensions(cloud(20, [2, 1], 6), { components: 1 }, signal);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  test('rejects too many components and a basis of another length', () => {
    assert.throws(() => checkReduction({ components: 3 }, 3, 10), /3 vectors of length 10 have at most 2 principal/);
    const { basis } = principalComponents(cloud(9, [1, 1], 1), 1);
    assert.throws(() => checkReduction({ basis }, 3, 10), /the basis is for vectors of length 2, and these have 10/);
  });
});
