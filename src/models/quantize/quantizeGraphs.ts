import { createHash } from 'node:crypto';
import { encodeModel } from '../../onnx/encode.js';
import type { Graph } from '../../onnx/graph.js';
import { createSession } from '../../onnx/session.js';
import { type Tensor, tensorBytes } from '../../tensor/tensor.js';
import { type BackboneOutputs, imageAgreement, runBackbone, summariseCosines } from '../agreement.js';
import type { ModelGraphs } from '../inferenceGraphs.js';
import type { Manifest } from '../manifest.js';
import { quantizeGraph } from './quantizeGraph.js';
import type { RangeMethod } from './ranges.js';

/** What an int8 model is made with; images are network inputs, uint8 [1, H, W, 3]. */
export interface QuantizePlan {
  /** Images that ranges are taken from. */
  readonly calibration: readonly Tensor<'uint8'>[];
  /** Images, other than those, on which the result is compared with the float model; may be empty. */
  readonly heldOut: readonly Tensor<'uint8'>[];
  readonly ranges: RangeMethod;
}

async function answers(graph: Graph, images: readonly Tensor<'uint8'>[]): Promise<BackboneOutputs[]> {
  const session = await createSession(encodeModel(graph));
  try {
    const results: BackboneOutputs[] = [];
    for (const image of images) results.push(await runBackbone(session, image));
    return results;
  } finally {
    await session.release();
  }
}

/** sha256 of the pixels, in order. */
function fingerprint(images: readonly Tensor<'uint8'>[]): string {
  const hash = createHash('sha256');
  for (const image of images) hash.update(tensorBytes(image));
  return hash.digest('hex');
}

async function agreement(float: Graph, integer: Graph, images: readonly Tensor<'uint8'>[]) {
  const [expected, found] = [await answers(float, images), await answers(integer, images)];
  const pairs = expected.map((outputs, i) => imageAgreement(outputs, found[i]!));
  return {
    images: images.length,
    representation: summariseCosines(pairs.map(({ representation }) => representation)),
    cells: summariseCosines(pairs.flatMap(({ cells }) => cells ?? [])),
  };
}

/**
 * Quantises the graphs of a model: the backbone on the calibration images, the heads on what the float backbone makes of
 * them.
 * @throws RangeError without calibration images.
 */
export async function quantizeGraphs(
  float: ModelGraphs,
  operators: 'gemm' | 'conv',
  { calibration, heldOut, ranges }: QuantizePlan,
): Promise<{ readonly graphs: ModelGraphs; readonly record: NonNullable<Manifest['quantization']> }> {
  if (calibration.length === 0) throw new RangeError('an int8 model needs at least one calibration image');
  const backbone = await quantizeGraph(float.backbone, calibration, { operators, ranges });
  const { localProjector, expander, classifier } = float;
  const seen = localProjector || expander || classifier ? await answers(float.backbone, calibration) : [];
  // The heads are linear layers beside every backbone.
  const head = { operators: 'gemm', ranges } as const;
  const graphs: ModelGraphs = {
    backbone,
    ...(localProjector && {
      localProjector: await quantizeGraph(
        localProjector,
        seen.map(({ maps }) => maps),
        head,
      ),
    }),
    ...(expander && {
      expander: await quantizeGraph(
        expander,
        seen.map(({ representation }) => representation),
        head,
      ),
    }),
    ...(classifier && {
      classifier: await quantizeGraph(
        classifier,
        seen.map(({ representation }) => representation),
        head,
      ),
    }),
  };
  return {
    graphs,
    record: {
      operators,
      ranges,
      images: calibration.length,
      fingerprint: fingerprint(calibration),
      ...(heldOut.length > 0 && { agreement: await agreement(float.backbone, backbone, heldOut) }),
    },
  };
}
