import { createHeadTrainer } from '../../heads/headTrainer.js';
import { IGNORED } from '../../heads/pixelCrossEntropy.js';
import {
  channelsOf,
  DROPOUT_INPUT,
  emitSegmentationStep,
  LABELS_INPUT,
  type SegmentationHeadSpec,
} from '../../heads/segmentationHead.js';
import type { SessionConfig } from '../../onnx/session.js';
import type { WorkProgress } from '../../progress/work.js';
import { float16ToFloat32 } from '../../tensor/float16.js';
import { type RandomStream, stream } from '../../tensor/random.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import type { SavedProgress } from '../featureCache.js';
import { type FrozenMaps, type ImageMaps, viewOf } from './frozenMaps.js';
import type { LabelMask } from './labelMask.js';
import { decayedRate, type SegmentationProtocol } from './protocol.js';
import type { CheckedPair, SegmentationData } from './segmentationData.js';

/** Training of the head on random crops of the frozen maps. */

export interface TrainHeadOptions {
  readonly protocol: SegmentationProtocol;
  readonly spec: SegmentationHeadSpec;
  readonly steps: number;
  /** Crops of a step. */
  readonly batch: number;
  /** Side of the crops in pixels: a multiple of every map's stride. */
  readonly crop: number;
  /** Learning rate of the first step. */
  readonly learningRate: number;
  readonly seed: number;
  readonly session: SessionConfig;
  readonly saved: SavedProgress;
  readonly progress: WorkProgress;
}

/** Steps between two saved states: some seconds. */
const SAVE_STEPS = 50;

/** A crop: which view of an image, and where in it. */
interface CropPlace {
  readonly view: number;
  /** In pixels of the padded window: multiples of the coarsest stride. */
  readonly top: number;
  readonly left: number;
}

function placeOf({ views, size }: ImageMaps, crop: number, coarsest: number, random: RandomStream): CropPlace {
  const start = (side: number) => random.integer((side - crop) / coarsest + 1) * coarsest;
  return { view: random.integer(views), top: start(size.height), left: start(size.width) };
}

/** Copies a crop of a map [h, w, C] to `target` [side, side, C]. */
function copyMap({ shape, data, dtype }: Tensor, top: number, left: number, side: number, target: Float32Array): void {
  const [, width, channels] = shape as readonly [number, number, number];
  const length = side * channels;
  for (let row = 0; row < side; row++) {
    const from = ((top + row) * width + left) * channels;
    const to = target.subarray(row * length, (row + 1) * length);
    if (dtype === 'float16') float16ToFloat32((data as Uint16Array).subarray(from, from + length), to);
    else to.set((data as Float32Array).subarray(from, from + length));
  }
}

/** Copies a crop of the labels to `target` [crop, crop]; padding is ignored. */
function copyLabels(
  mask: LabelMask,
  { windows }: Pick<ImageMaps, 'windows'>,
  { view, top, left }: CropPlace,
  crop: number,
  target: Uint8Array,
): void {
  const window = windows[view % windows.length]!;
  const flip = view >= windows.length;
  target.fill(IGNORED);
  const rows = Math.min(crop, window.height - top);
  const columns = Math.min(crop, window.width - left);
  for (let row = 0; row < rows; row++) {
    const line = (window.top + top + row) * mask.width + window.left;
    const to = row * crop;
    for (let column = 0; column < columns; column++) {
      const x = left + column;
      target[to + column] = mask.data[line + (flip ? window.width - 1 - x : x)]!;
    }
  }
}

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
 * @returns parameters and running statistics.
 * @throws DivergedError, DataError.
 */
export async function trainHead(
  pairs: readonly CheckedPair[],
  frozen: FrozenMaps,
  labels: SegmentationData['labels'],
  options: TrainHeadOptions,
): Promise<ReadonlyMap<string, Tensor>> {
  const { protocol, spec, steps, batch, crop, learningRate, seed, session, saved, progress } = options;
  const { maps, dropout } = spec;
  const coarsest = Math.max(...maps.map(({ stride }) => stride));
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
      await Promise.all(
        Array.from({ length: batch }, async (_, b) => {
          const random = stream(seed, 'segmentation', 'crop', step, b);
          const index = imageAt(step * batch + b, pairs.length, seed, orders);
          const [found, mask] = await Promise.all([frozen.of(index), labels(pairs[index]!)]);
          const place = placeOf(found, crop, coarsest, random);
          maps.forEach(({ name, stride }, i) => {
            const length = features[i]!.length / batch;
            const target = features[i]!.subarray(b * length, (b + 1) * length);
            copyMap(viewOf(found, name, place.view), place.top / stride, place.left / stride, crop / stride, target);
          });
          copyLabels(mask, found, place, crop, labelled.subarray(b * crop * crop, (b + 1) * crop * crop));
          for (let c = 0; dropout > 0 && c < channels; c++) {
            masks[b * channels + c] = random.bernoulli(dropout) ? 0 : 1 / (1 - dropout);
          }
        }),
      );
      const feeds = new Map<string, Tensor>([
        ...maps.map(({ name }, i) => [name, tensor('float32', shapes[i]!, features[i]!)] as const),
        [LABELS_INPUT, tensor('uint8', [batch, crop, crop], labelled)],
        ...(dropout > 0 ? [[DROPOUT_INPUT, tensor('float32', [batch, channels], masks)] as const] : []),
      ]);
      await trainer.step(feeds, step, decayedRate(step, steps, learningRate));
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
