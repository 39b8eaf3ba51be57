import type { EngineOutputs, ImageBatch, OutputName } from '../engine/engine.js';
import { addTile, blendWeights, emptyMap } from '../featureOps/mergeTiles.js';
import { cut } from '../image/resample.js';
import { defaultOutputLimits } from '../image/resize.js';
import { layOutTiles, type Tiling } from '../image/tiles.js';
import type { RgbImage } from '../image/types.js';
import { runSync } from '../tensor/slices.js';
import { rows, type Tensor, tensor } from '../tensor/tensor.js';

/** A map that is merged from windows. */
interface TiledOutput {
  readonly output: OutputName;
  readonly channels: number;
  readonly stride: number;
}

/**
 * Runs the network on overlapping windows of an image and merges their maps, as the service does for `tiles`.
 * @param batch windows of one run
 * @param run computes the outputs of a batch of windows
 * @returns [rows, columns, C] of each output
 * @throws ImageError for a window that may not be a network input
 */
export async function tiledMaps(
  image: RgbImage,
  tiling: Tiling,
  outputs: readonly TiledOutput[],
  batch: number,
  run: (batch: ImageBatch) => Promise<EngineOutputs>,
): Promise<ReadonlyMap<OutputName, Tensor<'float32'>>> {
  const { tile, lefts, tops } = layOutTiles(image, tiling, defaultOutputLimits);
  const merging = outputs.map(({ output, channels, stride }) => {
    const inCells = (starts: readonly number[]) => starts.map((start) => start / stride);
    const [height, width] = [image.height / stride, image.width / stride];
    return {
      output,
      merged: emptyMap(height, width, channels),
      rows: inCells(tops),
      columns: inCells(lefts),
      down: blendWeights(height, inCells(tops), tile.height / stride),
      across: blendWeights(width, inCells(lefts), tile.width / stride),
    };
  });
  const places = tops.flatMap((top, row) => lefts.map((left, column) => ({ row, column, left, top })));
  const bytes = tile.width * tile.height * 3;
  for (let first = 0; first < places.length; first += batch) {
    const members = places.slice(first, first + batch);
    const data = new Uint8Array(members.length * bytes);
    for (const [i, { left, top }] of members.entries()) data.set(cut(image, { left, top, ...tile }).data, i * bytes);
    const computed = await run(tensor('uint8', [members.length, tile.height, tile.width, 3], data));
    for (const [i, { row, column }] of members.entries()) {
      for (const { output, merged, down, across, ...starts } of merging) {
        const one = rows(computed[output]!, i, i + 1);
        const map = tensor('float32', one.shape.slice(1), one.data);
        const at = {
          row: starts.rows[row]!,
          column: starts.columns[column]!,
          down: down[row]!,
          across: across[column]!,
        };
        runSync(addTile(merged, map, at));
      }
    }
  }
  return new Map(merging.map(({ output, merged }) => [output, merged]));
}
