import { locationGrid } from '../../data/crop.js';
import { decodedCache } from '../../data/decodedCache.js';
import { epochs } from '../../data/epochs.js';
import { createPicker } from '../../data/sample.js';
import type { ImageSource } from '../../data/sources.js';
import { drawView, renderView } from '../../data/view.js';
import type { Crop, RgbImage } from '../../image/types.js';
import { encodeModel } from '../../onnx/encode.js';
import { Graph } from '../../onnx/graph.js';
import { createSession, runSession } from '../../onnx/session.js';
import { stream } from '../../tensor/random.js';
import { tensor } from '../../tensor/tensor.js';
import { locationDistances, nearestPairs } from '../../vicregl/matching.js';
import type { TrainConfig } from '../config.js';
import { viewsOf } from '../plan.js';

/** One large view of a photograph, as the first step sees it. */
export interface SampleView {
  readonly crop: Crop;
  /** Side in pixels, and cells along it. */
  readonly size: number;
  readonly cells: number;
  /** [size, size, 3]. */
  readonly pixels: Uint8Array;
  /** [cells * cells, 2]: (row, column) in pixels of the photograph. */
  readonly locations: Float32Array;
}

/** A photograph with its two large views. */
export interface SampleCrops {
  readonly name: string;
  readonly photograph: RgbImage;
  readonly views: readonly [SampleView, SampleView];
  /** Location-based pairs of cells from the first view to the second, as the loss keeps them; none without local loss. */
  readonly matches: readonly { readonly source: number; readonly target: number }[];
}

/** The loss's own matching, as a graph over the two grids. */
async function locationMatches(
  [a, b]: readonly [SampleView, SampleView],
  gamma: number,
): Promise<{ source: number; target: number }[]> {
  const graph = new Graph();
  const [p, q] = [a.cells ** 2, b.cells ** 2];
  const source = graph.input('source', 'float32', [1, p, 2]);
  const target = graph.input('target', 'float32', [1, q, 2]);
  const pairs = nearestPairs(locationDistances(source, target), gamma);
  graph.output('targets', pairs.targets);
  if (pairs.sources !== undefined) graph.output('sources', pairs.sources);
  const session = await createSession(encodeModel(graph), { threads: 1 });
  try {
    const found = await runSession(session, {
      source: tensor('float32', [1, p, 2], a.locations),
      target: tensor('float32', [1, q, 2], b.locations),
    });
    const sources = found.get('sources')?.data;
    return Array.from(found.get('targets')!.data as BigInt64Array, (cell, i) => ({
      source: Number(sources?.[i] ?? i),
      target: Number(cell),
    }));
  } finally {
    await session.release();
  }
}

/**
 * The first photographs of the first step with their two large views: the same photographs, crops and augmentations that training
 * would draw (src/data/sample.ts).
 * @throws DataError `undecodable` as training would.
 */
export async function sampleCrops(config: TrainConfig, source: ImageSource, count: number): Promise<SampleCrops[]> {
  const { seed, batchSize, crops, loss } = config;
  const specs = viewsOf(config).slice(0, 2);
  const slots = epochs(source.count, batchSize, seed).slotsOf(0).slice(0, count);
  const pick = createPicker({ seed }, source.index, source, decodedCache(0));
  return Promise.all(
    slots.map(async (slot) => {
      const { index, image: photograph } = await pick(0, slot);
      const { position } = slot;
      const views = await Promise.all(
        specs.map(async (spec, v): Promise<SampleView> => {
          const random = stream(seed, 'sample', 0, position, v);
          const drawn = drawView(random, photograph, spec);
          return {
            crop: drawn.crop,
            size: spec.size,
            cells: spec.cells,
            pixels: await renderView(photograph, drawn, spec.size),
            locations: locationGrid(drawn.crop, spec.cells, spec.cells, { mirrorFlipped: crops.mirrorFlippedGrid }),
          };
        }),
      );
      const pair = [views[0]!, views[1]!] as const;
      const local = loss.alpha < 1 && loss.matches !== 'feature';
      return {
        name: source.nameOf(index),
        photograph,
        views: pair,
        matches: local ? await locationMatches(pair, loss.numMatches[0]) : [],
      };
    }),
  );
}
