import type { Basis } from '../../../featureOps/pca.js';
import type { Reduced, Reduction } from '../../../featureOps/reduce.js';
import type { Pca__Output } from '../../../proto/generated/vicregl/v1/Pca.js';
import type { PcaBasis__Output } from '../../../proto/generated/vicregl/v1/PcaBasis.js';
import type { PcaResult } from '../../../proto/generated/vicregl/v1/PcaResult.js';
import type { Tensor__Output } from '../../../proto/generated/vicregl/v1/Tensor.js';
import { runSync } from '../../../tensor/slices.js';
import { type Tensor, tensorFromBytes } from '../../../tensor/tensor.js';
import type { ServeLimits } from '../../config/serveLimits.js';
import { invalid } from '../wire/fields.js';
import { tensorMessage } from '../wire/wireTensor.js';

function readPart(message: Tensor__Output | null, rank: number, field: string): Tensor<'float32'> {
  const wanted = rank === 1 ? 'FLOAT32 [C]' : 'FLOAT32 [k, C]';
  if (message === null || message.dtype !== 'DATA_TYPE_FLOAT32' || message.shape.length !== rank) {
    throw invalid(`${field}: must be ${wanted}, as in the response with the basis`);
  }
  try {
    const part = tensorFromBytes('float32', message.shape, message.data);
    if (part.data.every(Number.isFinite)) return part;
  } catch (cause) {
    throw invalid(`${field}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  throw invalid(`${field}: has elements that are not finite`);
}

function readBasis(message: PcaBasis__Output): Basis {
  const mean = readPart(message.mean, 1, 'pca.basis.mean');
  const components = readPart(message.components, 2, 'pca.basis.components');
  if (mean.shape[0] === components.shape[1]) return { mean, components };
  throw invalid(
    `pca.basis: the mean has length ${mean.shape[0]} and the components ${components.shape[1]}; send both from one response`,
  );
}

/**
 * Reads the PCA options of a request.
 * @throws ServeError `invalid_argument` naming the field.
 */
export function readPca(
  pca: Pca__Output,
  { pcaComponents }: Pick<ServeLimits, 'pcaComponents'>,
): Reduction & { readonly components: number } {
  const basis = pca.basis === null ? undefined : readBasis(pca.basis);
  const given = basis?.components.shape[0];
  const components = pca.components === 0 ? (given ?? 0) : pca.components;
  if (given !== undefined && given !== components) {
    throw invalid(`pca.components: ${components} differs from the ${given} components of the basis; set it to 0`);
  }
  if (components < 1 || components > pcaComponents) {
    throw invalid(
      `pca.components: ${components} must be 1 to ${pcaComponents} (pcaComponents); 3 are enough for an RGB picture of a map`,
    );
  }
  return basis === undefined ? { components } : { components, basis };
}

/** The message of a PCA. */
export function pcaResult({ basis, variances, totalVariance }: Reduced): PcaResult {
  return {
    ...(basis && {
      basis: {
        mean: runSync(tensorMessage(basis.mean, 'float32')),
        components: runSync(tensorMessage(basis.components, 'float32')),
      },
    }),
    explainedVariance: [...variances],
    explainedVarianceRatio: variances.map((variance) => (totalVariance > 0 ? variance / totalVariance : 0)),
  };
}
