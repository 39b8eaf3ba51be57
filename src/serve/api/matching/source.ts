import type { OutputName } from '../../../engine/engine.js';
import { type Grid, gridOf } from '../../../image/geometry.js';
import type { CellFeatures } from '../../../match/features.js';
import type { Image__Output } from '../../../proto/generated/vicregl/v1/Image.js';
import type { MatchSide__Output } from '../../../proto/generated/vicregl/v1/MatchSide.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { Permit } from '../../admission/weightedSemaphore.js';
import type { Call } from '../../call/call.js';
import { ServeError } from '../../call/serveError.js';
import type { ServeContext } from '../context.js';
import { admitImage, infer } from '../infer.js';
import { featureRef } from '../stored/featureRef.js';
import type { StoredFeatures } from '../stored/featureStore.js';
import { invalid } from '../wire/fields.js';
import { bytesOfMap } from '../wire/grid.js';
import { stagesOf } from '../wire/model.js';
import { readSentFeatures } from '../wire/sentFeatures.js';

/** One side of a match by features. Its grid is known from the start; its vectors are computed or read on demand. */
export interface MatchSource {
  readonly grid: Grid;
  readonly channels: number;
  /** Reference of its stored vectors, if the request asks to store them. */
  readonly ref?: string;
  /** Bytes that its vectors take in addition to the message with sent features; absent for other sides. */
  readonly readBytes?: number;
  vectors(call: Call): Promise<CellFeatures>;
}

function channelsOf({ engine }: ServeContext, output: OutputName): number {
  const { dims } = engine.manifest;
  return output === 'maps' ? dims.representation : (dims.mapsEmbedding ?? 0);
}

function featureMap(maps: Tensor<'float32'>): CellFeatures {
  const [rows = 0, columns = 0, channels = 0] = maps.shape;
  return { rows, columns, channels, data: maps.data };
}

function keptSource(grid: Grid, maps: Tensor<'float32'>, ref?: string): MatchSource {
  const map = featureMap(maps);
  return { grid, channels: map.channels, ...(ref !== undefined && { ref }), vectors: async () => map };
}

function imageSource(
  context: ServeContext,
  image: Image__Output | null,
  field: string,
  output: OutputName,
  call: Call,
) {
  return admitImage(context, image, field, call).then((prepared): MatchSource => {
    return {
      grid: gridOf(prepared, context.engine.manifest.stride),
      channels: channelsOf(context, output),
      vectors: async (sub) => featureMap(await infer(context, prepared.image, output, sub)),
    };
  });
}

/**
 * Acquires the bytes of the maps read from sent features, which may be four times as large as their message.
 * @throws ServeError `overloaded` if they exceed `mapBytes` together with those of others
 */
export function acquireRead({ admission }: ServeContext, ...sources: readonly MatchSource[]): Permit {
  return admission.mapBytes.tryAcquire(sources.reduce((sum, { readBytes = 0 }) => sum + readBytes, 0));
}

export interface StoredImage {
  readonly source: MatchSource & { readonly ref: string };
  /** Whether its vectors were stored already. */
  readonly found: boolean;
  /** Computes and stores its vectors unless they are stored. @returns seconds for which they are stored after their last use */
  keep(call: Call): Promise<number>;
}

/**
 * An image whose vectors are stored. They are found by a hash of the image before it is decoded, or computed and stored on demand.
 * @param ttlSeconds how long they are stored after their last use; vectors that are stored for longer already stay so
 * @throws as `admitImage`; ServeError `too_large` if they do not fit into the store.
 */
export async function storedImage(
  context: ServeContext,
  image: Image__Output | null,
  field: string,
  output: OutputName,
  call: Call,
  ttlSeconds = context.limits.storedFeaturesTtl,
): Promise<StoredImage> {
  const { engine, features } = context;
  const ref = image === null ? '' : await featureRef(engine, image, output);
  const kept = features.find(ref, ttlSeconds);
  if (kept) {
    return { source: { ...keptSource(kept.grid, kept.maps), ref }, found: true, keep: async () => kept.ttlSeconds };
  }
  const source = await imageSource(context, image, field, output, call);
  const { grid, channels } = source;
  features.checkBytes(bytesOfMap(grid, channels));
  async function compute(sub: Call) {
    const map = await source.vectors(sub);
    const maps: Tensor<'float32'> = { dtype: 'float32', shape: [map.rows, map.columns, channels], data: map.data };
    return { map, ttlSeconds: features.keep(ref, { engine, output, grid, maps }, ttlSeconds) };
  }
  return {
    found: false,
    source: { ...source, ref, vectors: async (sub) => (await compute(sub)).map },
    keep: async (sub) => (await compute(sub)).ttlSeconds,
  };
}

function checkStored(context: ServeContext, stored: StoredFeatures, field: string, output: OutputName): void {
  const { engine } = context;
  const label = ({ manifest }: typeof engine) => `${manifest.name}@${manifest.version}`;
  if (stored.engine !== engine && label(stored.engine) === label(engine)) throw expired(field);
  if (stored.engine !== engine || stored.output !== output) {
    throw new ServeError(
      'features_mismatch',
      `${field}.feature_ref: its features are of model ${label(stored.engine)}, output ${stored.output}, and the request ` +
        `matches with ${label(engine)}, output ${output}; name that model and space, or store the image's features again`,
    );
  }
}

function expired(field: string): ServeError {
  return new ServeError(
    'features_expired',
    `${field}.feature_ref: no features are stored under this reference, or no longer; send the image again, with store`,
  );
}

/**
 * Reads one side of a match by features.
 * @param field its name in the request, for errors
 */
export async function readSource(
  context: ServeContext,
  side: MatchSide__Output | null,
  field: string,
  output: OutputName,
  call: Call,
): Promise<MatchSource> {
  if (side?.featureRef !== undefined) {
    const stored = context.features.find(side.featureRef);
    if (stored === undefined) throw expired(field);
    checkStored(context, stored, field, output);
    return keptSource(stored.grid, stored.maps);
  }
  if (side?.features) {
    const ofStages = stagesOf(context.engine.manifest).map(({ channels }) => channels);
    const sent = readSentFeatures(side.features, `${field}.features`, channelsOf(context, output), ofStages);
    const { grid, channels, read } = sent;
    const readBytes = bytesOfMap(grid, channels);
    return { grid, channels, readBytes, vectors: async ({ signal }) => featureMap(await read(signal)) };
  }
  const image = side?.image ?? null;
  if (image === null) {
    throw invalid(
      `${field}: missing; give an image, a feature_ref (of StoreFeatures), or features (of ExtractFeatures)`,
    );
  }
  if (side?.store) return (await storedImage(context, image, field, output, call)).source;
  return imageSource(context, image, field, output, call);
}
