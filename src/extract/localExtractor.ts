import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import pLimit from 'p-limit';
import sharp from 'sharp';
import { type Engine, EngineError, type EngineOutputs, type ImageBatch, type OutputName } from '../engine/engine.js';
import { poolRegions, RegionReader } from '../featureOps/pool.js';
import { upsample, upsampledGrid, upsampledSize } from '../featureOps/upsample.js';
import { defaultImageLimits } from '../image/decode.js';
import { decodeInput } from '../image/decodeInput.js';
import { type Grid, gridOf } from '../image/geometry.js';
import { ImageError } from '../image/imageError.js';
import { restrictLoaders } from '../image/loaders.js';
import { defaultOutputLimits, enoughPipelinePixels } from '../image/resize.js';
import type { Box, PreparedImage, ResizePolicy } from '../image/types.js';
import { runSync } from '../tensor/slices.js';
import { rows, type Tensor, tensor } from '../tensor/tensor.js';
import { checkMaps, checkOptions, MAP_BYTES, readUpsampling } from './checkOptions.js';
import { encodeVectors } from './encode.js';
import { ExtractError } from './extractError.js';
import {
  type CoveredPart,
  type Extractor,
  mapName,
  type Outcome,
  type OutputSpec,
  type Wanted,
  type WantedImage,
} from './features.js';
import { GROUP_IMAGES } from './shardPlan.js';
import { tiledMaps } from './tiledMaps.js';

/** Number of images that are decoded at the same time, at least: the default number of libuv's threads. */
const MIN_DECODED = 4;
/**
 * Images of a run on the CPU. The maps of larger batches exceed the caches of a core: with ConvNeXt-atto, eight images cost 8 to 27 % more
 * processor time each than one or two (docs/benchmarks.md). It divides the groups of images that stay together.
 */
const CPU_BATCH = 2;
/** Images of a run on CUDA, which larger batches keep busy; a multiple of the groups that stay together. */
const CUDA_BATCH = 8 * GROUP_IMAGES;
/** A run whose worker died is repeated this often; the engine starts another worker meanwhile. */
const RUN_ATTEMPTS = 3;
const RETRY_MS = 1000;
/** Input pixels per image of a full batch; runs of larger images have fewer. */
const RUN_PIXELS = 512 ** 2;

const limits = {
  image: defaultImageLimits,
  output: {
    ...defaultOutputLimits,
    pipelinePixels: enoughPipelinePixels(defaultImageLimits.imagePixels, defaultOutputLimits.inputPixels),
  },
};

interface LocalOptions {
  readonly wanted: Wanted;
  readonly policy: ResizePolicy;
  /** SHA-256 of the files that compute the features. */
  readonly sha256: string;
  /** Whether features are pooled over regions. */
  readonly pooled: boolean;
}

/** A computed output and how it is written. */
interface LocalOutput extends OutputSpec {
  readonly output: OutputName;
}

function localOutputs({ manifest }: Engine, { embedding, features }: Wanted, pooled: boolean): LocalOutput[] {
  const { dims, stride, outputs } = manifest;
  const lacks = (flag: string, what: string) =>
    new ExtractError('bad_option', `${flag}: the model ${manifest.name} has no ${what}`);
  const found: LocalOutput[] = [];
  if (embedding !== undefined) {
    const expander = embedding.space === 'expander';
    if (expander && dims.embedding === undefined) throw lacks('--space expander', 'expander; use the space backbone');
    const channels = expander ? dims.embedding! : dims.representation;
    found.push({ name: 'embedding', kind: 'vector', channels, output: expander ? 'embedding' : 'representation' });
  }
  const kind = pooled ? ('regions' as const) : ('map' as const);
  for (const stage of features?.stages ?? []) {
    const name = mapName(stage);
    if (stage === 0) {
      const projected = features!.space === 'localProjector';
      if (projected && dims.mapsEmbedding === undefined) {
        throw lacks('--space localProjector', 'local projector; use the space backbone');
      }
      const channels = projected ? dims.mapsEmbedding! : dims.representation;
      found.push({ name, kind, channels, stride, output: projected ? 'maps_embedding' : 'maps' });
      continue;
    }
    const output = `stage${stage}` as const;
    const described = Object.hasOwn(outputs, output) ? outputs[output] : undefined;
    const channels = described?.shape.at(-1);
    if (described?.stride === undefined || typeof channels !== 'number') {
      throw lacks('--stages', `map of stage ${stage}; export it with that stage, or omit it`);
    }
    found.push({ name, kind, channels, stride: described.stride, output });
  }
  return found;
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Runs a batch, again if its worker died. @throws ExtractError `stopped` if none answers, or memory runs out */
async function runBatch(engine: Engine, batch: ImageBatch, wants: ReadonlySet<OutputName>): Promise<EngineOutputs> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await engine.run(batch, wants);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      if (error.code === 'out_of_memory') {
        const fewer = `a batch of ${batch.shape[0]} images does not fit into memory (${error.message}); use a smaller --batch-size`;
        throw new ExtractError('stopped', fewer, { cause: error });
      }
      if (error.code !== 'unavailable' || attempt >= RUN_ATTEMPTS) throw error;
      await delay(RETRY_MS * attempt);
    }
  }
}

/** The prepared images of one size, as one tensor. */
function stacked(images: readonly PreparedImage[]): Tensor<'uint8'> {
  const { width, height } = images[0]!.image;
  const data = new Uint8Array(images.length * height * width * 3);
  for (const [i, { image }] of images.entries()) data.set(image.data, i * height * width * 3);
  return tensor('uint8', [images.length, height, width, 3], data);
}

/**
 * Divides images into runs: of one size each, and smaller ones for large images (`--resize native`), whose memory grows with the
 * pixels. By default all images have one size, and are one run.
 */
function batchesBySize<T extends PreparedImage>(images: readonly T[], batch: number): T[][] {
  const sizes = new Map<string, T[]>();
  for (const one of images) {
    const size = `${one.image.width}x${one.image.height}`;
    sizes.set(size, [...(sizes.get(size) ?? []), one]);
  }
  return [...sizes.values()].flatMap((members) => {
    const { width, height } = members[0]!.image;
    const count = Math.max(1, Math.floor((batch * RUN_PIXELS) / Math.max(RUN_PIXELS, width * height)));
    return Array.from({ length: Math.ceil(members.length / count) }, (_, k) =>
      members.slice(k * count, (k + 1) * count),
    );
  });
}

/** One image's part of an output, without the batch dimension. */
function element(all: Tensor<'float32'>, at: number): Tensor<'float32'> {
  const { shape, data } = rows(all, at, at + 1);
  return tensor('float32', shape.slice(1), data);
}

/** Takes the computed outputs of image i of a batch. */
type Settle = (i: number, computedOf: (output: OutputName) => Tensor<'float32'>) => void;

function coveredPart({ image, toOriginal }: PreparedImage): CoveredPart {
  const { scaleX, scaleY, offsetX, offsetY } = toOriginal;
  return { left: offsetX, top: offsetY, width: scaleX * image.width, height: scaleY * image.height };
}

/** Means of a map [h, w, C] under boxes, and the share of each box that cells cover, as float32 as in the service's answers. */
function pooledOver(map: Tensor<'float32'>, grid: Grid, boxes: readonly Box[]) {
  const reader = new RegionReader([grid]);
  const weights = boxes.map(({ left, right, top, bottom }) => runSync(reader.read([[left, right, top, bottom]]))[0]!);
  return { pooled: runSync(poolRegions(map, weights)), coverage: weights.map(({ coverage }) => Math.fround(coverage)) };
}

/**
 * Computes features by a model in this process' workers. Images are decoded on libvips' threads, as the service does it: vectors
 * equal the service's for batches of the same images. The engine is closed with the extractor.
 * @throws ExtractError `bad_option` for a space or stage that the model lacks, and sizes that no image can have
 */
export function createLocalExtractor(engine: Engine, { wanted, policy, sha256, pooled }: LocalOptions): Extractor {
  restrictLoaders();
  // A cache of decoded images is useless, since images do not repeat.
  sharp.cache(false);
  const { manifest, provider } = engine;
  const outputs = localOutputs(engine, wanted, pooled);
  const wants = new Set(outputs.map(({ output }) => output));
  const signal = new AbortController().signal;
  const upsampling = readUpsampling(wanted);
  const tiling = checkOptions(wanted, policy, {
    crop: manifest.preprocessing.crop,
    stride: manifest.stride,
    outputs,
    limits: { output: limits.output, imagePixels: limits.image.imagePixels, mapBytes: MAP_BYTES },
  });
  const mapOutputs = outputs.map(({ output, channels, stride }) => ({ output, channels, stride: stride ?? 1 }));
  const run = (batch: ImageBatch) => runBatch(engine, batch, wants);
  // The sizes of network inputs apply to each window.
  const ofDecoding = tiling
    ? { ...limits, output: { ...limits.output, inputPixels: limits.image.imagePixels } }
    : limits;
  const decoding = pLimit(Math.max(MIN_DECODED, availableParallelism()));

  const decode = async ({ read }: WantedImage): Promise<PreparedImage | { readonly failed: string }> => {
    let encoded: Uint8Array;
    try {
      encoded = await read();
      const image = await decodeInput({ encoded }, { policy, stride: manifest.stride, limits: ofDecoding }, signal);
      if (upsampling || tiling) checkMaps(image.image, upsampling, outputs, MAP_BYTES);
      return image;
    } catch (error) {
      return { failed: reasonOf(error) };
    }
  };

  const describe = (
    image: PreparedImage,
    boxes: readonly Box[] | undefined,
    computedOf: (output: OutputName) => Tensor<'float32'>,
  ) => {
    let coverage: readonly number[] | undefined;
    const values = outputs.map(({ name, output, kind, stride }) => {
      const value = computedOf(output);
      if (kind === 'vector') return [name, encodeVectors(value, wanted)] as const;
      const grid = gridOf(image, stride!);
      const enlarged = upsampling && upsampledSize(grid, upsampling);
      const map = enlarged ? runSync(upsample(value, enlarged)) : value;
      if (kind === 'map') return [name, encodeVectors(map, wanted)] as const;
      const found = pooledOver(map, enlarged ? upsampledGrid(grid, enlarged) : grid, boxes!);
      coverage ??= found.coverage;
      return [name, encodeVectors(found.pooled, wanted)] as const;
    });
    return {
      width: image.original.width,
      height: image.original.height,
      values: new Map(values),
      ...(wanted.features && { covered: coveredPart(image) }),
      ...(coverage && { coverage }),
    };
  };

  return {
    model: { name: manifest.name, version: manifest.version, sha256 },
    runsOn: provider,
    outputs: outputs.map(({ output: _, ...spec }) => spec),
    // One batch more than workers, so that none waits.
    runs: engine.status.workers.length + 1,
    batch: provider === 'cuda' ? CUDA_BATCH : CPU_BATCH,
    async prepare(images) {
      const prepared = await Promise.all(images.map((image) => decoding(decode, image)));
      return async () => {
        const outcomes: Outcome[] = prepared.map((one) => ('failed' in one ? one : { failed: '' }));
        const settle: Settle = (i, computedOf) => {
          try {
            outcomes[i] = { features: describe(prepared[i] as PreparedImage, images[i]!.boxes, computedOf) };
          } catch (error) {
            outcomes[i] = { failed: reasonOf(error) };
          }
        };
        const ready = prepared.flatMap((one, i) => ('failed' in one ? [] : [{ i, ...one }]));
        if (tiling === undefined) {
          for (const batch of batchesBySize(ready, images.length)) {
            const computed = await run(stacked(batch));
            for (const [at, { i }] of batch.entries()) settle(i, (output) => element(computed[output]!, at));
          }
          return outcomes;
        }
        for (const { i, image } of ready) {
          try {
            const found = await tiledMaps(image, tiling, mapOutputs, images.length, run);
            settle(i, (output) => found.get(output)!);
          } catch (error) {
            // Windows that no network input may have; other errors are not those of the image.
            if (!(error instanceof ImageError)) throw error;
            outcomes[i] = { failed: error.message };
          }
        }
        return outcomes;
      };
    },
    close: () => engine.close(),
  };
}
