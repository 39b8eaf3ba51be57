import { setTimeout as delay } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { Client } from '../client/client.js';
import { VicreglError } from '../client/vicreglError.js';
import { ImageError } from '../image/imageError.js';
import { readStoredImage } from '../image/orientation.js';
import type { CheckPhotograph, FeatureSettings } from './featureSettings.js';
import { type ImageFeatures, splitNorms } from './features.js';
import { wholePhotograph } from './photographSize.js';

/** An image that has no features, and why. */
export interface FailedImage {
  readonly name: string;
  readonly reason: string;
}

/** The calls of a client that are needed. */
export type FeatureClient = Pick<Client, 'features' | 'embed'>;

/** Images whose features are computed at a time: one is decoded while the network runs on the other. */
const CONCURRENCY = 2;

/** Attempts of a call that a service refuses for the moment. */
const ATTEMPTS = 6;
const FIRST_DELAY_S = 0.25;

/** Repeats a call while the service is overloaded or gone, with delays that double. */
async function withRetries<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const again =
        error instanceof VicreglError &&
        (error.code === 'UNAVAILABLE' || error.reason === 'OVERLOADED' || error.reason === 'RATE_LIMITED');
      if (!again || attempt === ATTEMPTS) throw error;
      const seconds = Math.max(error.retryAfterSeconds ?? 0, FIRST_DELAY_S * 2 ** (attempt - 1));
      await delay(seconds * 1000, undefined, { signal });
    }
  }
}

/** Whether the image is at fault, and not the settings or the service. */
function isImageFault(error: unknown): boolean {
  if (error instanceof ImageError) return true;
  if (!(error instanceof VicreglError)) return false;
  return error.reason?.startsWith('IMAGE_') === true || error.reason === 'DECODER_CRASHED';
}

/** The features of one image, with the embedding of its central square in the model's own size. */
async function featuresOf(
  client: FeatureClient,
  name: string,
  pixels: Uint8Array,
  settings: FeatureSettings,
  { stride, check, signal }: { readonly stride: number; readonly check: CheckPhotograph; readonly signal: AbortSignal },
): Promise<ImageFeatures> {
  const { size, space, stage, tiles, upsample } = settings;
  const stored = await readStoredImage(pixels);
  check(name, stored.upright);
  const image = { pixels, resize: wholePhotograph(stored.upright, size, stride) };
  const options = {
    signal,
    space,
    chunked: true,
    ...(stage !== undefined && { stages: [stage] }),
    ...(tiles && { tiles }),
    ...(upsample !== undefined && { upsample }),
  };
  const { data, shape, grid } = await withRetries(() => client.features(image, options), signal);
  const { vector } = await withRetries(() => client.embed(pixels, { signal }), signal);
  const channels = shape[2]!;
  return {
    ...stored,
    rows: grid.rows,
    columns: grid.columns,
    channels,
    stride: grid.stride,
    cellToPixel: grid.cellToPixel,
    ...splitNorms(data, channels),
    global: vector,
  };
}

/**
 * Computes the features of images, and gives each to `keep` as soon as it is there.
 * @param check throws for a photograph that shows a mistake in the settings
 * @param read reads the file of an image
 * @returns the images that cannot be read, in order
 * @throws VicreglError for settings that the model does not take, and when the service stays away; the signal's reason.
 */
export async function extractImages(
  client: FeatureClient,
  names: readonly string[],
  settings: FeatureSettings,
  stride: number,
  {
    check,
    read,
    keep,
    signal,
  }: {
    readonly check: CheckPhotograph;
    read(name: string): Promise<Uint8Array>;
    keep(name: string, features: ImageFeatures | undefined): Promise<void>;
    readonly signal: AbortSignal;
  },
): Promise<readonly FailedImage[]> {
  const limit = pLimit(CONCURRENCY);
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const failed = new Map<string, string>();
  const fail = (name: string, error: unknown): void => {
    failed.set(name, error instanceof Error ? error.message : String(error));
  };
  const one = async (name: string): Promise<void> => {
    either.throwIfAborted();
    let bytes: Uint8Array | undefined;
    try {
      bytes = await read(name);
    } catch (error) {
      fail(name, error);
    }
    let features: ImageFeatures | undefined;
    try {
      features = bytes && (await featuresOf(client, name, bytes, settings, { stride, check, signal: either }));
    } catch (error) {
      either.throwIfAborted();
      if (!isImageFault(error)) throw error;
      fail(name, error);
    }
    await keep(name, features);
  };
  const work = names.map((name) =>
    limit(() =>
      one(name).catch((error: unknown) => {
        // The first failure ends the others; they all have ended before it is thrown.
        stop.abort(error);
        throw error;
      }),
    ),
  );
  await Promise.allSettled(work);
  signal.throwIfAborted();
  stop.signal.throwIfAborted();
  return names.filter((name) => failed.has(name)).map((name) => ({ name, reason: failed.get(name)! }));
}
