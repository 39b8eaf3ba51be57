import type { ModelInfo } from '../client/model.js';
import type { Tiles, Upsample } from '../client/options.js';
import { type ServerInfo, statedLimits } from '../client/serverInfo.js';
import { ImageError } from '../image/imageError.js';
import { checkInputPixels, checkPolicy, type OutputLimits } from '../image/resize.js';
import { readTiling } from '../image/tiles.js';
import type { Size } from '../image/types.js';
import { MatchSetError } from './matchSetError.js';
import { type PhotographSize, wholePhotograph } from './photographSize.js';

/** How the features of an image are made. */
export interface FeatureSettings {
  readonly size: PhotographSize;
  readonly space: 'backbone' | 'localProjector';
  /** The map of an earlier stage instead of that of the space. */
  readonly stage?: number;
  readonly tiles?: Tiles;
  readonly upsample?: Upsample;
}

/** Runs work; its error about sizes becomes one that names the flag. */
function ofFlag<T>(flag: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new MatchSetError('bad_option', `${flag}: ${cause.message}`, { cause });
  }
}

/** A check of the network input of one photograph. @throws MatchSetError `bad_option` for a setting that is at fault */
export type CheckPhotograph = (name: string, photograph: Size) => void;

/**
 * Checks what the settings require of every photograph, before any work: what is wrong with a setting would fail all images.
 * @returns a check for what depends on the photographs too
 * @throws MatchSetError `bad_option` naming the flag
 */
export function checkSettings(
  { size, tiles }: FeatureSettings,
  model: Pick<ModelInfo, 'name' | 'version' | 'stride' | 'preprocessing'>,
  info: Pick<ServerInfo, 'limits' | 'models'>,
): CheckPhotograph {
  const { stride, preprocessing } = model;
  if (tiles) ofFlag('--tiles', () => readTiling({ width: 0, height: 0, ...tiles }, preprocessing.crop, stride));
  const stated = statedLimits(info, model);
  // The sizes of network inputs apply to each window.
  const output: OutputLimits = tiles ? { inputPixels: stated.imagePixels } : stated.output;
  if (size.kind === 'native') return () => {};
  if (size.kind === 'fit') {
    ofFlag('--resize', () => checkPolicy(size, stride, output));
    return () => {};
  }
  // The photograph of this side that gives the smallest input: a strip, or a square.
  const { side } = size;
  const smallest = size.kind === 'longest' ? { width: side, height: 1 } : { width: side, height: side };
  const check = (photograph: Size): void => {
    const { width, height } = wholePhotograph(photograph, size, stride) as Size & { readonly kind: 'fit' };
    checkInputPixels(width, height, output);
  };
  ofFlag('--resize', () => check(smallest));
  // A longest side bounds the input of every photograph; with a shortest one, a long photograph is an exception.
  return size.kind === 'longest'
    ? (name, photograph) => ofFlag(`--resize: ${name}`, () => check(photograph))
    : () => {};
}
