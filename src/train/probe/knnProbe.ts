import { decodedCache } from '../../data/decodedCache.js';
import type { SkippedImage } from '../../data/sample.js';
import { backboneStride } from '../../nn/backbone.js';
import { encodeModel } from '../../onnx/encode.js';
import { Graph, TRAINING_OPSET } from '../../onnx/graph.js';
import { createSession, runSession, type SessionConfig } from '../../onnx/session.js';
import { embedImages, type Represent } from '../../probe/embedImages.js';
import { createKnn, topShare } from '../../probe/knn.js';
import type { LabelledSplit } from '../../probe/labelledImages.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import { backboneOf, type TrainConfig } from '../config.js';
import { type ProbeConfig, probeSizes } from '../probeSchema.js';
import { emitRepresentation, networkFeeds } from './representation.js';

export interface KnnProbe {
  /** Classifies the test images by the representations that the weights give. */
  measure(weights: ReadonlyMap<string, Tensor>): Promise<KnnMeasure>;
  close(): Promise<void>;
}

export interface KnnMeasure {
  /** Absent if none of the training images, or none of the test images, can be decoded. */
  readonly terms?: { readonly knn_top1: number; readonly knn_top5: number };
  /** Neighbours that voted: `k`, or all training images that can be decoded where they are fewer. */
  readonly neighbours: number;
  /** Images that cannot be decoded, and were left out. */
  readonly skipped: readonly SkippedImage[];
}

/** Images of one run of the network. */
const BATCH = 64;
/** Memory for probed images that stay ready for the next time, for neighbours and for tests. */
const CACHE_BYTES = 256 * 2 ** 20;

export async function createKnnProbe(
  config: TrainConfig,
  { k, temperature }: NonNullable<ProbeConfig['knn']>,
  { classes, train, test }: LabelledSplit,
  session: SessionConfig,
): Promise<KnnProbe> {
  const backbone = backboneOf(config.model);
  const { crop, resize } = probeSizes(config);
  const graph = new Graph(TRAINING_OPSET, session.device ?? 'cpu');
  const { value, network } = emitRepresentation(graph, backbone, BATCH, crop);
  graph.output('representation', value);
  const running = await createSession(encodeModel(graph), session);
  const knnOf = (neighbours: number) => createKnn({ k: neighbours, temperature, classes: classes.length }, session);
  let [neighbours, knn] = [k, knnOf(k)];
  const options = { resize, crop, stride: backboneStride(backbone), batchSize: BATCH };
  const caches = [decodedCache(CACHE_BYTES), decodedCache(CACHE_BYTES)] as const;
  return {
    async measure(weights) {
      const feeds = networkFeeds(network, weights);
      const represent: Represent = async (images) => {
        const found = await runSession(running, new Map([...feeds, ['images', filledUp(images)]]));
        const { shape, data } = found.get('representation')!;
        const [count, channels] = [images.shape[0]!, shape[1]!];
        return tensor('float32', [count, channels], (data as Float32Array).subarray(0, count * channels));
      };
      const bank = await embedImages(train, represent, { ...options, cache: caches[0] });
      const queries = await embedImages(test, represent, { ...options, cache: caches[1] });
      const skipped = [...bank.skipped, ...queries.skipped];
      // That there are k images was checked before the run; how many of them can be decoded is known only here.
      const usable = Math.min(k, bank.labels.length);
      if (usable === 0 || queries.labels.length === 0) return { neighbours: usable, skipped };
      if (usable !== neighbours) {
        await knn.close();
        [neighbours, knn] = [usable, knnOf(usable)];
      }
      const ranks = await knn.ranks(bank, queries);
      return { terms: { knn_top1: topShare(ranks, 1), knn_top5: topShare(ranks, 5) }, neighbours, skipped };
    },
    async close() {
      await knn.close();
      await running.release();
    },
  };
}

/** The last batch of a set, with black images up to the graph's size: no image's result depends on another's. */
function filledUp({ shape, data }: Tensor<'uint8'>): Tensor<'uint8'> {
  const [count, ...image] = shape;
  if (count === BATCH) return tensor('uint8', shape, data);
  const full = new Uint8Array((data.length / count!) * BATCH);
  full.set(data);
  return tensor('uint8', [BATCH, ...image], full);
}
