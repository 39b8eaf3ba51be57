import { createHash } from 'node:crypto';
import { encodeModel } from '../../onnx/encode.js';
import type { Graph } from '../../onnx/graph.js';
import { createSession } from '../../onnx/session.js';
import { counted, type WorkProgress } from '../../progress/work.js';
import { type Tensor, tensorBytes } from '../../tensor/tensor.js';
import { type BackboneOutputs, imageAgreement, runBackbone, summariseCosines } from '../agreement.js';
import type { ModelGraphs } from '../inferenceGraphs.js';
import type { Manifest } from '../manifest.js';
import { quantizeGraph } from './quantizeGraph.js';
import type { RangeMethod } from './ranges.js';

/** How an int8 model is made. Images are network inputs, uint8 [1, H, W, 3]. */
export interface QuantizePlan {
  /** Images from which the ranges of activations are taken. */
  readonly calibration: readonly Tensor<'uint8'>[];
  /** Images, other than those, on which the result is compared with the float model; may be empty. */
  readonly heldOut: readonly Tensor<'uint8'>[];
  readonly ranges: RangeMethod;
}

async function runOnImages(
  graph: Graph,
  images: readonly Tensor<'uint8'>[],
  progress: WorkProgress,
): Promise<BackboneOutputs[]> {
  const session = await createSession(encodeModel(graph));
  try {
    const results: BackboneOutputs[] = [];
    for await (const image of counted(images, progress)) results.push(await runBackbone(session, image));
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

async function agreement(float: Graph, integer: Graph, images: readonly Tensor<'uint8'>[], progress: WorkProgress) {
  progress.begin('comparing with the float model', 2 * images.length, 'runs');
  const [expected, found] = [await runOnImages(float, images, progress), await runOnImages(integer, images, progress)];
  const pairs = expected.map((outputs, i) => imageAgreement(outputs, found[i]!));
  return {
    images: images.length,
    representation: summariseCosines(pairs.map(({ representation }) => representation)),
    cells: summariseCosines(pairs.flatMap(({ cells }) => cells ?? [])),
  };
}

/**
 * Quantises the graphs of a model: the backbone on the calibration images, the heads on the float backbone's outputs for
 * them.
 * @throws RangeError without calibration images.
 */
export async function quantizeGraphs(
  float: ModelGraphs,
  operators: 'gemm' | 'conv',
  { calibration, heldOut, ranges }: QuantizePlan,
  progress: WorkProgress,
): Promise<{ readonly graphs: ModelGraphs; readonly record: NonNullable<Manifest['quantization']> }> {
  if (calibration.length === 0) throw new RangeError('an int8 model needs at least one calibration image');
  const { localProjector, expander, classifier } = float;
  const heads = [localProjector, expander, classifier].filter((head) => head !== undefined).length;
  // A second pass of the float backbone gives the inputs on which the heads are calibrated.
  progress.begin('calibrating', calibration.length * (1 + (heads > 0 ? 1 + heads : 0)), 'runs');
  const backbone = await quantizeGraph(float.backbone, counted(calibration, progress), { operators, ranges });
  const outputs = heads > 0 ? await runOnImages(float.backbone, calibration, progress) : [];
  const representations = outputs.map(({ representation }) => representation);
  // The heads are linear layers with every backbone.
  const head = { operators: 'gemm', ranges } as const;
  const graphs: ModelGraphs = {
    backbone,
    ...(localProjector && {
      localProjector: await quantizeGraph(
        localProjector,
        counted(
          outputs.map(({ maps }) => maps),
          progress,
        ),
        head,
      ),
    }),
    ...(expander && {
      expander: await quantizeGraph(expander, counted(representations, progress), head),
    }),
    ...(classifier && {
      classifier: await quantizeGraph(classifier, counted(representations, progress), head),
    }),
  };
  return {
    graphs,
    record: {
      operators,
      ranges,
      images: calibration.length,
      fingerprint: fingerprint(calibration),
      ...(heldOut.length > 0 && { agreement: await agreement(float.backbone, backbone, heldOut, progress) }),
    },
  };
}
