import pLimit from 'p-limit';
import type { Client } from '../client/client.js';
import type { Embedding } from '../client/embedding.js';
import type { FeatureMap, Features } from '../client/features.js';
import type { PlacedImage, Resize } from '../client/image.js';
import type { ModelId } from '../client/model.js';
import type { FeatureFields } from '../client/options.js';
import { statedLimits } from '../client/serverInfo.js';
import { VicreglError } from '../client/vicreglError.js';
import { checkFile, defaultImageLimits } from '../image/decode.js';
import type { ResizePolicy, Size } from '../image/types.js';
import { checkOptions } from './checkOptions.js';
import { ExtractError } from './extractError.js';
import {
  type CoveredPart,
  type Extractor,
  type ImageFeatures,
  mapName,
  type Outcome,
  type OutputSpec,
  type Wanted,
  type WantedImage,
} from './features.js';
import { isOfImage, optionOf } from './retry.js';
import { GROUP_IMAGES } from './shardPlan.js';
import { streamCaller } from './streamCaller.js';

/** Files that are read at the same time. */
const READ_AT_ONCE = 16;
/** Batches under way: a stream of the service takes 16 images, and more may wait here while it answers. */
const RUNS = 4;

interface ServiceOptions {
  readonly wanted: Wanted;
  readonly resize: Resize | undefined;
  /** What `resize` means for the model. */
  readonly policy: ResizePolicy;
  readonly pooled: boolean;
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
}

type ModelInfo = Awaited<ReturnType<Client['model']>>;

function serviceOutputs(model: ModelInfo, { embedding, features }: Wanted, pooled: boolean): OutputSpec[] {
  const { dimensions } = model;
  const lacks = (flag: string, what: string) =>
    new ExtractError('bad_option', `${flag}: the model ${model.name} has no ${what}`);
  const found: OutputSpec[] = [];
  if (embedding !== undefined) {
    const channels = embedding.space === 'expander' ? dimensions.expander : dimensions.backbone;
    if (channels === undefined) throw lacks('--space expander', 'expander; use the space backbone');
    found.push({ name: 'embedding', kind: 'vector', channels });
  }
  const kind = pooled ? ('regions' as const) : ('map' as const);
  for (const stage of features?.stages ?? []) {
    if (stage === 0) {
      const channels = features!.space === 'localProjector' ? dimensions.localProjector : dimensions.backbone;
      if (channels === undefined) throw lacks('--space localProjector', 'local projector; use the space backbone');
      found.push({ name: mapName(0), kind, channels, stride: model.stride });
      continue;
    }
    const described = model.stages.find((one) => one.stage === stage);
    if (described === undefined)
      throw lacks('--stages', `map of stage ${stage}; export it with that stage, or omit it`);
    found.push({ name: mapName(stage), kind, channels: described.channels, stride: described.stride });
  }
  return found;
}

function coveredPart({ grid: { rows, columns, cellToPixel } }: FeatureMap): CoveredPart {
  const { scaleX, scaleY, offsetX, offsetY } = cellToPixel;
  return { left: offsetX, top: offsetY, width: scaleX * columns, height: scaleY * rows };
}

interface ReadImage {
  readonly encoded: Uint8Array;
  /** Undefined where the answer tells it. */
  readonly size: Size | undefined;
}

/**
 * Computes features by a service, over its streams. The files are sent as they are. The client is closed with the extractor.
 * @throws ExtractError `bad_option` for a space or stage that the model lacks, and sizes that no image can have; VicreglError if the service does not answer
 */
export async function createServiceExtractor(client: Client, options: ServiceOptions): Promise<Extractor> {
  const { wanted, resize, policy, pooled, signal, note } = options;
  const model = await client.model({ signal });
  const outputs = serviceOutputs(model, wanted, pooled);
  const { crop } = model.preprocessing;
  const limits = statedLimits(await client.serverInfo({ signal }), model);
  checkOptions(wanted, policy, { crop, stride: model.stride, outputs, limits });
  const { dtype, l2, embedding, features } = wanted;
  const limit = pLimit(READ_AT_ONCE);
  const fields = { dtype, l2Normalize: l2 };
  const embeddings =
    embedding &&
    streamCaller<object, Embedding>((items, call) => client.embedStream(items, { ...call, ...fields, ...embedding }), {
      signal,
      note,
    });
  const maps =
    features &&
    streamCaller<Pick<FeatureFields, 'pooling'>, Features>(
      (items, call) => client.featuresStream(items, { ...call, ...fields, ...features }),
      { signal, note },
    );

  const checkModel = (answered: ModelId): void => {
    if (answered.name === model.name && answered.version === model.version) return;
    throw new ExtractError(
      'differs',
      `the service answers with ${answered.name}@${answered.version} and began with ${model.name}@${model.version}; start again in another --out`,
    );
  };

  const read = async ({ read: readFile }: WantedImage): Promise<ReadImage | { readonly failed: string }> => {
    try {
      const encoded = await readFile();
      return { encoded, size: features ? undefined : (await checkFile(encoded, defaultImageLimits)).size };
    } catch (error) {
      return { failed: error instanceof Error ? error.message : String(error) };
    }
  };

  const compute = async ({ encoded, size }: ReadImage, { boxes }: WantedImage): Promise<ImageFeatures> => {
    const image: PlacedImage = { pixels: encoded, ...(resize && { resize }) };
    // Without boxes there is nothing to pool, and the service accepts no empty list.
    const wantsMaps = maps !== undefined && (boxes === undefined || boxes.length > 0);
    const pooling = boxes?.map((box) => ({ box }));
    const [global, local] = await Promise.all([
      embeddings?.call(image, {}),
      wantsMaps ? maps.call(image, pooling ? { pooling } : {}) : undefined,
    ]);
    for (const answer of [global, local]) if (answer !== undefined) checkModel(answer.model);
    const values = new Map(local?.maps.map((map) => [mapName(map.stage), map.tensor] as const));
    if (global !== undefined) values.set('embedding', global.tensor);
    const original = local?.grid.original ?? size ?? (await checkFile(encoded, defaultImageLimits)).size;
    const { width, height } = original;
    const coverage = local?.coverage;
    return {
      width,
      height,
      values,
      ...(local && { covered: coveredPart(local) }),
      ...(coverage && { coverage }),
    };
  };

  const outcome = async (prepared: ReadImage | { readonly failed: string }, image: WantedImage): Promise<Outcome> => {
    if ('failed' in prepared) return prepared;
    try {
      return { features: await compute(prepared, image) };
    } catch (error) {
      if (error instanceof VicreglError && isOfImage(error)) {
        const option = optionOf(error, policy.kind === 'native');
        if (option === undefined) return { failed: error.message };
        throw new ExtractError('bad_option', `--${option}: the service answers: ${error.message}`, { cause: error });
      }
      throw error;
    }
  };

  return {
    model: { name: model.name, version: model.version },
    runsOn: `service, ${model.provider}`,
    outputs,
    runs: RUNS,
    batch: GROUP_IMAGES,
    async prepare(images) {
      const prepared = await Promise.all(images.map((image) => limit(read, image)));
      return () => Promise.all(prepared.map((one, i) => outcome(one, images[i]!)));
    },
    async close() {
      embeddings?.close();
      maps?.close();
      await client.close();
    },
  };
}
