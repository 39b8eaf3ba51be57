import { FeatureOpError } from '../featureOps/featureOpError.js';
import { type Upsampling, upsampledSize } from '../featureOps/upsample.js';
import { ImageError } from '../image/imageError.js';
import { checkPolicy, type OutputLimits } from '../image/resize.js';
import { layOutTiles, readTiling, type Tiling } from '../image/tiles.js';
import type { ResizePolicy, Size } from '../image/types.js';
import { ExtractError } from './extractError.js';
import type { OutputSpec, Wanted } from './features.js';

/** Maximum bytes of one float32 map of an image, also enlarged or merged from windows: as much as a service keeps by default. */
export const MAP_BYTES = 512 * 1024 ** 2;

/** Limits of what is computed. */
export interface ExtractLimits {
  /** Of network inputs. */
  readonly output: OutputLimits;
  /** Maximum pixels of an image that is cut into windows. */
  readonly imagePixels: number;
  /** Maximum bytes of one map in float32. */
  readonly mapBytes: number;
}

/** What the options are checked against. */
interface CheckedModel {
  /** Side of the model's own network input. */
  readonly crop: number;
  readonly stride: number;
  readonly outputs: readonly OutputSpec[];
  readonly limits: ExtractLimits;
}

/** Runs work; its error about sizes becomes one that names the flag. */
function ofFlag<T>(flag: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof ImageError || cause instanceof FeatureOpError)) throw cause;
    throw new ExtractError('bad_option', `${flag}: ${cause.message}`, { cause });
  }
}

export const readUpsampling = ({ features }: Wanted): Upsampling | undefined =>
  typeof features?.upsample === 'number' ? { factor: features.upsample } : features?.upsample;

/**
 * Checks the maps of a network input, before the network runs.
 * @throws FeatureOpError `bad_size` for an enlarged size below that of the map, ImageError `too_large` over the limit
 */
export function checkMaps(
  { width, height }: Size,
  upsampling: Upsampling | undefined,
  outputs: readonly OutputSpec[],
  mapBytes: number,
): void {
  for (const { name, kind, channels, stride } of outputs) {
    if (kind === 'vector') continue;
    const grid = { rows: height / stride!, columns: width / stride! };
    const { rows, columns } = upsampling ? upsampledSize(grid, upsampling) : grid;
    const bytes = rows * columns * channels * Float32Array.BYTES_PER_ELEMENT;
    if (bytes <= mapBytes) continue;
    const way = upsampling ? 'enlarge it less (--upsample), or choose a smaller --resize' : 'choose a smaller --resize';
    throw new ImageError(
      'too_large',
      `the map ${name} of ${rows} x ${columns} cells with ${channels} channels has ${bytes} bytes in float32, over the limit of ` +
        `${mapBytes}; ${way}`,
    );
  }
}

/**
 * Checks what the options require of every image, before any work: what is wrong with an option would fail all images.
 * @returns the windows, if there are any
 * @throws ExtractError `bad_option` naming the flag
 */
export function checkOptions(
  wanted: Wanted,
  policy: ResizePolicy,
  { crop, stride, outputs, limits }: CheckedModel,
): Tiling | undefined {
  const { tiles } = wanted.features ?? {};
  const tiling = tiles && ofFlag('--tiles', () => readTiling({ width: 0, height: 0, ...tiles }, crop, stride));
  // The sizes of network inputs apply to each window.
  const ofInput = tiling ? { inputPixels: limits.imagePixels } : limits.output;
  const size = ofFlag('--resize', () => checkPolicy(policy, stride, ofInput));
  if (size === undefined) return tiling;
  if (tiling) ofFlag('--tiles', () => layOutTiles(size, tiling, limits.output));
  const upsampling = readUpsampling(wanted);
  // Maps as the network computes them from one input are bounded by its size.
  if (!upsampling && !tiling) return tiling;
  ofFlag(upsampling ? '--upsample' : '--tiles', () => checkMaps(size, upsampling, outputs, limits.mapBytes));
  return tiling;
}
