import type { InferenceSession } from '../onnx/runtime.js';
import { runSession } from '../onnx/session.js';
import type { Tensor } from '../tensor/tensor.js';

/** Agreement of two backbones, as cosines of their outputs. Cells are compared only if both maps have one size. */

export interface ImageAgreement {
  readonly representation: number;
  /** Of each pair of cells; absent if the maps differ in size. */
  readonly cells?: readonly number[];
}

export interface CosineSummary {
  readonly mean: number;
  readonly worst: number;
}

/** Cosine of two vectors of equal length. Two zero vectors agree (1); one alone does not (0). */
function cosine(a: Float32Array, b: Float32Array): number {
  let product = 0;
  let squaresA = 0;
  let squaresB = 0;
  for (let i = 0; i < a.length; i++) {
    product += a[i]! * b[i]!;
    squaresA += a[i]! * a[i]!;
    squaresB += b[i]! * b[i]!;
  }
  if (squaresA === 0 || squaresB === 0) return squaresA === squaresB ? 1 : 0;
  return product / Math.sqrt(squaresA * squaresB);
}

/** Outputs of a backbone for one image, in float32. */
export interface BackboneOutputs {
  readonly representation: Tensor;
  readonly maps: Tensor;
}

export async function runBackbone(session: InferenceSession, image: Tensor<'uint8'>): Promise<BackboneOutputs> {
  const outputs = await runSession(session, { images: image }, ['representation', 'maps']);
  return { representation: outputs.get('representation')!, maps: outputs.get('maps')! };
}

/** Compares the outputs of two forms of one network for one image. */
export function imageAgreement(a: BackboneOutputs, b: BackboneOutputs): ImageAgreement {
  const representation = cosine(a.representation.data as Float32Array, b.representation.data as Float32Array);
  const [left, right] = [a.maps.data as Float32Array, b.maps.data as Float32Array];
  if (left.length !== right.length) return { representation };
  const channels = a.maps.shape.at(-1)!;
  const cells = Array.from({ length: left.length / channels }, (_, cell) => {
    const [from, to] = [cell * channels, (cell + 1) * channels];
    return cosine(left.subarray(from, to), right.subarray(from, to));
  });
  return { representation, cells };
}

/** Mean and smallest of a list of cosines. */
export function summariseCosines(cosines: readonly number[]): CosineSummary {
  const mean = cosines.reduce((sum, value) => sum + value, 0) / cosines.length;
  return { mean, worst: cosines.reduce((min, value) => Math.min(min, value), Number.POSITIVE_INFINITY) };
}
