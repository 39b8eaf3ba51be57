import type { Value } from '../onnx/graph.js';
import { differentiateBy } from '../onnx/ops/differentiation.js';
import { add, cast, div, exp, heaviside, mul, neg, sub } from '../onnx/ops/elementwise.js';
import { gatherElements, scatterElementsAdd } from '../onnx/ops/indexing.js';
import { logSoftmax, reduceSum } from '../onnx/ops/reduce.js';
import { expand, reshape } from '../onnx/ops/shape.js';
import { GraphError } from '../onnx/shapes.js';
import { elementCount, tensor } from '../tensor/tensor.js';

/** The label of pixels that do not count. */
export const IGNORED = 255;

/**
 * Mean cross-entropy over the pixels that count: those whose label is a class. All others (`IGNORED`) are left out, and the
 * loss of pixels of which none counts is 0. Scalar.
 * @param logits [..., K]
 * @param labels uint8 [...]
 */
export function pixelCrossEntropy(logits: Value, labels: Value): Value {
  const classes = logits.shape.at(-1) as number;
  const pixels = elementCount(logits.shape.slice(0, -1) as readonly number[]);
  if (labels.dtype !== 'uint8' || elementCount(labels.shape as readonly number[]) !== pixels) {
    throw new GraphError(`pixelCrossEntropy: ${labels.dtype} labels [${labels.shape}] do not fit [${logits.shape}]`);
  }
  // In float32, whose kernels are vectorised: 1 for a label below the number of classes, else 0.
  const label = reshape(cast(labels, 'float32'), [pixels, 1]);
  const weight = heaviside(sub(classes - 0.5, label));
  // A class for every pixel, so that each has an entry to take; those that do not count take that of class 0.
  const target = cast(mul(label, weight), 'int64');
  const x = reshape(logits, [pixels, classes]);
  const likelihoods = logSoftmax(x);
  const count = reduceSum(weight);
  const atLeastOne = add(count, sub(1, heaviside(count)));
  const loss = div(neg(reduceSum(mul(gatherElements(likelihoods, target, 1), weight))), atLeastOne);
  // Softmax less 1 at the label. Fewer passes over all pixels and classes than the rules of the operators take.
  return differentiateBy(loss, x, (gy) => {
    const minusOnes = expand(label.graph.constant(tensor('float32', [1, 1], Float32Array.of(-1))), [pixels, 1]);
    const difference = scatterElementsAdd(exp(likelihoods), target, minusOnes, 1);
    return mul(difference, mul(weight, div(gy, atLeastOne)));
  });
}
