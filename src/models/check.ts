import type { InferenceSession } from '../onnx/runtime.js';
import { createSession, runSession } from '../onnx/session.js';
import { stream } from '../tensor/random.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { arithmeticOf } from './arithmetic.js';
import type { Manifest } from './manifest.js';
import { ModelFolderError } from './modelFolderError.js';

/** Reference output of a backbone for one synthetic image. Another machine checks by it that the model computes the same. */

export type ModelCheck = NonNullable<Manifest['check']>;

const SIDE = 128;
const SEED = 20_260_101;
const RECORDED_CHANNELS = 16;

/** Largest difference that rounding, other kernels and other instruction sets can make, relative to the norm. */
const TOLERANCES: Readonly<Record<Manifest['compute'], number>> = { float32: 1e-3, float16: 1e-2, int8: 5e-2 };

/** The check image, uint8 [1, 128, 128, 3] or of other sides: smooth waves of colour and some noise, the same on every machine. */
export function checkImage(height = SIDE, width = SIDE): Tensor<'uint8'> {
  const random = stream(SEED, 'check image');
  const waves = Array.from({ length: 3 }, () => ({
    x: random.uniform(0.02, 0.2),
    y: random.uniform(0.02, 0.2),
    phase: random.uniform(0, 6),
  }));
  const data = new Uint8Array(height * width * 3);
  for (let at = 0; at < data.length; at++) {
    const wave = waves[at % 3]!;
    const pixel = Math.floor(at / 3);
    const angle = wave.x * (pixel % width) + wave.y * Math.floor(pixel / width) + wave.phase;
    data[at] = Math.round(128 + 90 * Math.sin(angle) + random.uniform(-30, 30));
  }
  return tensor('uint8', [1, height, width, 3], data);
}

async function representationOf(session: InferenceSession): Promise<Float32Array> {
  const outputs = await runSession(session, { images: checkImage() }, ['representation']);
  return outputs.get('representation')!.data as Float32Array;
}

/**
 * Runs a backbone on the check image and records channels spread over the representation.
 * @param backbone path of its graph.
 * @throws ModelFolderError if the output is not finite.
 */
export async function recordCheck(backbone: string, compute: Manifest['compute']): Promise<ModelCheck> {
  const session = await createSession(backbone, arithmeticOf(compute));
  try {
    const representation = await representationOf(session);
    if (!representation.every(Number.isFinite)) {
      throw new ModelFolderError(
        'the network gives outputs that are not finite for a synthetic image; are its weights damaged?',
      );
    }
    const count = Math.min(RECORDED_CHANNELS, representation.length);
    const channels = Array.from({ length: count }, (_, i) => Math.floor((i * representation.length) / count));
    return {
      channels,
      values: channels.map((channel) => representation[channel]!),
      norm: Math.hypot(...representation),
      tolerance: TOLERANCES[compute],
    };
  } finally {
    await session.release();
  }
}

/**
 * Largest difference of a session's output from the recorded one, relative to the recorded norm. Infinity if a recorded
 * channel is missing or not a number.
 */
export async function checkDifference(session: InferenceSession, check: ModelCheck): Promise<number> {
  const representation = await representationOf(session);
  const differences = check.channels.map((channel, i) => Math.abs(representation[channel]! - check.values[i]!));
  differences.push(Math.abs(Math.hypot(...representation) - check.norm));
  const largest = Math.max(...differences);
  // An output that is 0 everywhere is compared as well: 0 / 0 would be no number.
  if (largest === 0) return 0;
  return Number.isNaN(largest) ? Number.POSITIVE_INFINITY : largest / check.norm;
}
