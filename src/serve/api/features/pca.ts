import type { Basis } from '../../../featureOps/pca.js';
import { checkBasisLength, type Reduced, type Reduction } from '../../../featureOps/reduce.js';
import type { Pca__Output } from '../../../proto/generated/vicregl/v1/Pca.js';
import type { PcaResult } from '../../../proto/generated/vicregl/v1/PcaResult.js';
import type { Tensor__Output } from '../../../proto/generated/vicregl/v1/Tensor.js';
import { runSync } from '../../../tensor/slices.js';
import { type Tensor, tensorFromBytes } from '../../../tensor/tensor.js';
import type { ServeLimits } from '../../config/serveLimits.js';
import { invalid } from '../wire/fields.js';
import { tensorMessage } from '../wire/wireTensor.js';

/** Checks dtype and rank of a part of a basis. Its elements, which may fill a whole message, are only read by `readPart`. */
function checkPart(message: Tensor__Output | null, rank: number, field: string): Tensor__Output {
  const wanted = rank === 1 ? 'FLOAT32 [C]' : 'FLOAT32 [k, C]';
  if (message !== null && message.dtype === 'DATA_TYPE_FLOAT32' && message.shape.length === rank) return message;
  throw invalid(`${field}: must be ${wanted}, as in the response with the basis`);
}

function readPart(message: Tensor__Output, field: string): Tensor<'float32'> {
  try {
    const part = tensorFromBytes('float32', message.shape, message.data);
    if (part.data.every(Number.isFinite)) return part;
  } catch (cause) {
    throw invalid(`${field}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  throw invalid(`${field}: has elements that are not finite`);
}

/**
 * Reads the PCA options of a request. All sizes are compared before the elements of a basis are read, on the main thread: there are at
 * most `pcaComponents` * `channels` of them then.
 * @param channels length of the vectors that are reduced
 * @throws ServeError `invalid_argument`, or FeatureOpError `bad_components`, naming the field.
 */
export function readPca(
  pca: Pca__Output,
  { pcaComponents }: Pick<ServeLimits, 'pcaComponents'>,
  channels: number,
): Reduction & { readonly components: number } {
  const mean = pca.basis && checkPart(pca.basis.mean, 1, 'pca.basis.mean');
  const directions = pca.basis && checkPart(pca.basis.components, 2, 'pca.basis.components');
  const given = directions?.shape[0];
  const components = pca.components === 0 ? (given ?? 0) : pca.components;
  if (given !== undefined && given !== components) {
    throw invalid(`pca.components: ${components} differs from the ${given} components of the basis; set it to 0`);
  }
  if (components < 1 || components > pcaComponents) {
    throw invalid(
      `pca.components: ${components} must be 1 to ${pcaComponents} (pcaComponents); 3 are enough for an RGB picture of a map`,
    );
  }
  if (!mean || !directions) return { components };
  const length = mean.shape[0]!;
  if (length !== directions.shape[1]) {
    throw invalid(
      `pca.basis: the mean has length ${length} and the components ${directions.shape[1]}; send both from one response`,
    );
  }
  checkBasisLength(length, channels);
  const basis: Basis = {
    mean: readPart(mean, 'pca.basis.mean'),
    components: readPart(directions, 'pca.basis.components'),
  };
  return { components, basis };
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
    // By rounding, that of a map with one component alone may exceed 1.
    explainedVarianceRatio: variances.map((variance) =>
      totalVariance > 0 ? Math.min(1, variance / totalVariance) : 0,
    ),
  };
}
