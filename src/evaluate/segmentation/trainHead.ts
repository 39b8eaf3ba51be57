import { createHeadTrainer } from '../../heads/headTrainer.js';
import {
  channelsOf,
  DROPOUT_INPUT,
  emitSegmentationStep,
  LABELS_INPUT,
  type SegmentationHeadSpec,
} from '../../heads/segmentationHead.js';
import type { SessionConfig } from '../../onnx/session.js';
import type { WorkProgress } from '../../progress/work.js';
import { stream } from '../../tensor/random.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import type { SavedProgress } from '../featureCache.js';
import type { CropSource } from './cropSource.js';
import { type HeadSchedule, headRate, type SegmentationProtocol } from './protocol.js';

/** Training of the head on random crops. */

export interface TrainHeadOptions {
  readonly protocol: SegmentationProtocol;
  readonly spec: SegmentationHeadSpec;
  readonly schedule: HeadSchedule;
  /** Crops of a step. */
  readonly batch: number;
  /** Side of the crops in pixels: a multiple of every map's stride. */
  readonly crop: number;
  readonly seed: number;
  readonly session: SessionConfig;
  readonly saved: SavedProgress;
  readonly progress: WorkProgress;
}

/** Steps between two saved states: some seconds. */
const SAVE_STEPS = 50;

/** Index of the training image at a position of the whole training: every epoch has its own order. */
function imageAt(position: number, count: number, seed: number, orders: Map<number, Uint32Array>): number {
  const epoch = Math.floor(position / count);
  let order = orders.get(epoch);
  if (order === undefined) {
    // One batch reaches into two epochs at most, where it is smaller than the data; older orders are not needed again.
    for (const old of orders.keys()) if (old < epoch - 1) orders.delete(old);
    order = stream(seed, 'segmentation', 'order', epoch).permutation(count);
    orders.set(epoch, order);
  }
  return order[position % count]!;
}

/**
 * Trains a head, from its saved state where there is one.
 * @param images number of training images
 * @returns parameters and running statistics.
 * @throws DivergedError, DataError.
 */
export async function trainHead(
  images: number,
  crops: CropSource,
  options: TrainHeadOptions,
): Promise<ReadonlyMap<string, Tensor>> {
  const { protocol, spec, schedule, batch, crop, seed, session, saved, progress } = options;
  const { steps } = schedule;
  const { maps, dropout } = spec;
  const channels = channelsOf(maps);
  const resumed = await saved.read();
  const trainer = await createHeadTrainer((parameters) => emitSegmentationStep(parameters, spec, { batch, crop }), {
    optimizer: protocol.optimizer,
    seed,
    session,
    ...(resumed && { resumed: resumed.tensors }),
  });
  try {
    const first = Number(resumed?.metadata['step'] ?? 0);
    progress.advance(first);
    const orders = new Map<number, Uint32Array>();
    const features = maps.map(({ channels: own, stride }) => new Float32Array(batch * (crop / stride) ** 2 * own));
    const labelled = new Uint8Array(batch * crop * crop);
    const masks = new Float32Array(dropout > 0 ? batch * channels : 0);
    const shapes = maps.map(({ channels: own, stride }) => [batch, crop / stride, crop / stride, own]);

    for (let step = first; step < steps; step++) {
      const chosen = Array.from({ length: batch }, (_, b) => ({
        index: imageAt(step * batch + b, images, seed, orders),
        random: stream(seed, 'segmentation', 'crop', step, b),
      }));
      await crops.fill(chosen, { features, labels: labelled });
      chosen.forEach(({ random }, b) => {
        for (let c = 0; dropout > 0 && c < channels; c++) {
          masks[b * channels + c] = random.bernoulli(dropout) ? 0 : 1 / (1 - dropout);
        }
      });
      const feeds = new Map<string, Tensor>([
        ...maps.map(({ name }, i) => [name, tensor('float32', shapes[i]!, features[i]!)] as const),
        [LABELS_INPUT, tensor('uint8', [batch, crop, crop], labelled)],
        ...(dropout > 0 ? [[DROPOUT_INPUT, tensor('float32', [batch, channels], masks)] as const] : []),
      ]);
      await trainer.step(feeds, step, headRate(step, schedule));
      const done = step + 1;
      if (done % SAVE_STEPS === 0 || done === steps) {
        await saved.write({ tensors: trainer.state(), metadata: { step: String(done) } });
      }
      progress.advance();
    }
    return trainer.weights();
  } finally {
    await trainer.close();
  }
}
