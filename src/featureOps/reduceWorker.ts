/** A thread that reduces the dimensions of one map and ends: seconds of arithmetic, for which no event loop should wait. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Tensor } from '../tensor/tensor.js';
import { type Basis, principalComponents, project, variancesOf } from './pca.js';
import type { Reduced } from './reduce.js';

const { vectors, how } = workerData as { vectors: Tensor<'float32'>; how: { components: number } | { basis: Basis } };

function reduced(): Reduced {
  if ('basis' in how) {
    const projected = project(vectors, how.basis);
    const totalVariance = variancesOf(vectors).reduce((sum, variance) => sum + variance, 0);
    return { vectors: projected, variances: variancesOf(projected), totalVariance };
  }
  const { basis, variances, totalVariance } = principalComponents(vectors, how.components);
  return { vectors: project(vectors, basis), basis, variances, totalVariance };
}

parentPort?.postMessage(reduced());
