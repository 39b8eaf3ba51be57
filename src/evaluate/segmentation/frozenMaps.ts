import type { HeadMap } from '../../heads/segmentationHead.js';
import type { Rectangle, RgbImage, Size } from '../../image/types.js';
import { pipelined } from '../../probe/pipelined.js';
import type { WorkProgress } from '../../progress/work.js';
import { firstOverflow, float32ToFloat16 } from '../../tensor/float16.js';
import { rows, type Tensor, tensor } from '../../tensor/tensor.js';
import type { CachedPart, CacheKey, ComputedBy, FeatureCache } from '../featureCache.js';
import type { Subject } from '../subjects/subject.js';
import { runMaps } from './runMaps.js';
import { rescaled, seenSize } from './seenSize.js';
import { type CheckedPair, readPhotograph } from './segmentationData.js';
import { copyWindow, paddedSize, type WindowOptions, windowsOf } from './windows.js';

/** Frozen maps of the training images: each is computed once, and kept in float16. */

/** Maps of an image's windows, by output: float16 (float32 where it would overflow) [views, h, w, C]. */
export interface ImageMaps {
  readonly windows: readonly Rectangle[];
  /** Size of a window with its padding, in pixels. */
  readonly size: Size;
  /** Views 0 .. windows - 1 are the windows; further ones are the windows mirrored left to right. */
  readonly views: number;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

export interface FrozenMapsOptions {
  readonly maps: readonly HeadMap[];
  readonly window: WindowOptions;
  /** See `seenSize`. */
  readonly shortest?: number | undefined;
  /** Least sides of a padded window, in pixels: those of the crops. */
  readonly crop: number;
  /** Whether mirrored windows are computed too. */
  readonly flip: boolean;
  /** Digest of the subject. */
  readonly digest: string;
  readonly cache: FeatureCache;
  /** Maps that are held in memory, in bytes. The others are read from the cache for every crop. */
  readonly memoryBytes: number;
  readonly progress: WorkProgress;
}

export interface FrozenMaps {
  /** The maps of a training image. */
  of(index: number): Promise<ImageMaps>;
}

type ViewOptions = Pick<FrozenMapsOptions, 'window' | 'shortest' | 'crop' | 'flip'>;

function viewsOf(pair: CheckedPair, { window, shortest, crop, flip }: ViewOptions, stride: number) {
  const windows = windowsOf(seenSize(pair.size, shortest), window);
  return { windows, size: paddedSize(windows[0]!, stride, crop), views: windows.length * (flip ? 2 : 1) };
}

/** Bytes that the maps of all images take in float16. */
export function frozenMapsBytes(
  pairs: readonly CheckedPair[],
  options: ViewOptions & Pick<FrozenMapsOptions, 'maps'>,
  stride: number,
): number {
  return pairs.reduce((sum, pair) => sum + bytesOf(pair, options, stride), 0);
}

function bytesOf(pair: CheckedPair, options: ViewOptions & Pick<FrozenMapsOptions, 'maps'>, stride: number): number {
  const { size, views } = viewsOf(pair, options, stride);
  const values = options.maps.reduce(
    (all, map) => all + (size.width / map.stride) * (size.height / map.stride) * map.channels,
    0,
  );
  return views * values * 2;
}

type KeyOptions = ComputedBy & ViewOptions & Pick<FrozenMapsOptions, 'maps'>;

function keyOf(
  { imageDigest }: CheckedPair,
  { digest, provider, maps, window, shortest, crop, flip }: KeyOptions,
): CacheKey {
  return {
    kind: 'segmentation-maps',
    digest,
    provider,
    image: imageDigest,
    maps: maps.map(({ name }) => name),
    window,
    ...(shortest !== undefined && { shortest }),
    least: crop,
    flip,
  };
}

/** Images whose maps are looked for in the cache at once. */
const LOOKED_FOR = 64;

/** Bytes of the maps that the cache does not have. */
export async function missingMapsBytes(
  pairs: readonly CheckedPair[],
  options: KeyOptions,
  stride: number,
  cache: FeatureCache,
): Promise<number> {
  // Images of one content share their maps.
  const distinct = [...new Map(pairs.map((pair) => [pair.imageDigest, pair])).values()];
  let bytes = 0;
  for (let first = 0; first < distinct.length; first += LOOKED_FOR) {
    const some = distinct.slice(first, first + LOOKED_FOR);
    const there = await Promise.all(some.map((pair) => cache.has(keyOf(pair, options))));
    for (const [i, pair] of some.entries()) if (!there[i]) bytes += bytesOf(pair, options, stride);
  }
  return bytes;
}

/**
 * Maps of all views of one image, which are turned to float16 a few views at a time: in float32 the views of a large photograph
 * would take twice the memory, and more than one photograph is computed at once.
 * @param wide names of maps that overflow in float16, and stay float32. They are found out on the way: all is then computed again.
 */
async function computeMaps(
  subject: Subject,
  image: RgbImage,
  { windows, size, views }: Omit<ImageMaps, 'tensors'>,
  maps: readonly HeadMap[],
  wide: ReadonlySet<string> = new Set(),
): Promise<ReadonlyMap<string, Tensor>> {
  const found = maps.map(({ name, channels, stride }) => {
    const shape = [views, size.height / stride, size.width / stride, channels];
    const length = shape.reduce((product, side) => product * side);
    return wide.has(name)
      ? tensor('float32', shape, new Float32Array(length))
      : tensor('float16', shape, new Uint16Array(length));
  });
  const overflowing = new Set<string>();
  const take = (i: number, first: number, data: Float32Array): void => {
    const map = found[i]!;
    const at = (map.data.length / views) * first;
    if (map.dtype === 'float32') return void map.data.set(data, at);
    const halves = float32ToFloat16(data);
    if (firstOverflow(data, halves) >= 0) overflowing.add(maps[i]!.name);
    map.data.set(halves, at);
  };
  await runMaps(subject, maps, { count: views, size }, take, (view, pixels) =>
    copyWindow(image, windows[view % windows.length]!, size, view >= windows.length, pixels),
  );
  if (overflowing.size > 0) {
    return computeMaps(subject, image, { windows, size, views }, maps, new Set([...wide, ...overflowing]));
  }
  return new Map(maps.map(({ name }, i) => [name, found[i]!]));
}

/**
 * Computes the maps of all training images, or takes them from the cache.
 * @throws DataError for an image that cannot be decoded, EngineError.
 */
export async function freezeMaps(
  subject: Subject,
  pairs: readonly CheckedPair[],
  options: FrozenMapsOptions,
): Promise<FrozenMaps> {
  const { maps, cache, memoryBytes, progress } = options;
  const held = new Map<number, ImageMaps>();
  let heldBytes = 0;
  const compute = async (index: number): Promise<ImageMaps> => {
    const pair = pairs[index]!;
    const views = viewsOf(pair, options, subject.stride);
    const key = keyOf(pair, { ...options, provider: subject.provider });
    const part = await cache.part(key, async (): Promise<CachedPart> => {
      const photograph = await rescaled(await readPhotograph(pair), seenSize(pair.size, options.shortest));
      const tensors = await computeMaps(subject, photograph, views, maps);
      return { tensors, metadata: {} };
    });
    return { ...views, tensors: part.tensors };
  };
  const hold = (index: number, found: ImageMaps): void => {
    const bytes = [...found.tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    if (heldBytes + bytes > memoryBytes) return;
    held.set(index, found);
    heldBytes += bytes;
  };
  const all = pipelined(pairs.length, async (index) => index, compute, { runs: subject.runs });
  let index = 0;
  for await (const found of all) {
    hold(index++, found);
    progress.advance();
  }
  return { of: async (item) => held.get(item) ?? compute(item) };
}

/** The maps of one view, [h, w, C]. */
export function viewOf(found: ImageMaps, name: string, view: number): Tensor {
  const whole = rows(found.tensors.get(name)!, view, view + 1);
  return { ...whole, shape: whole.shape.slice(1) };
}
