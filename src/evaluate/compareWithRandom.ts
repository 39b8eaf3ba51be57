import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ImageSource } from '../data/sources.js';
import type { Engine, ImageBatch, OutputName } from '../engine/engine.js';
import { type ModelFolder, openModelFolder } from '../models/folder.js';
import { writeRandomModel } from '../models/randomModel.js';
import { ParameterError } from '../nn/parameters.js';
import { silentProgress } from '../progress/work.js';
import { bootstrapInterval } from './bootstrap.js';
import { type MatchQuality, type MatchQualityOptions, matchQuality } from './matchQuality.js';
import { requireImages } from './requireImages.js';
import { runsOf } from './runsOf.js';

/** Match quality of a model beside the same network with random weights, on the same pairs of crops. */
export interface Comparison {
  readonly trained: MatchQuality;
  readonly random: MatchQuality;
  /** 95 % bootstrap interval, over photographs, of the difference of the shares (trained less random), paired. */
  readonly gainInterval: readonly [number, number];
}

const WANTED: ReadonlySet<OutputName> = new Set(['maps_embedding']);

async function measure(
  engine: Engine,
  photographs: ImageSource,
  options: MatchQualityOptions,
  name: string,
): Promise<MatchQuality> {
  const { progress = silentProgress } = options;
  progress.begin(name, photographs.count, 'photographs');
  try {
    const extract = async (batch: ImageBatch) => (await engine.run(batch, WANTED)).maps_embedding!;
    return await matchQuality(photographs, extract, { ...options, runs: runsOf(engine) });
  } finally {
    await engine.close();
  }
}

/**
 * Matches in projector space.
 * @param startEngine runs a model folder; every engine that it starts is closed here.
 * @throws ParameterError for a model without a local projector, and what matchQuality throws.
 */
export async function compareWithRandom(
  model: ModelFolder,
  photographs: ImageSource,
  startEngine: (folder: ModelFolder) => Promise<Engine>,
  options: MatchQualityOptions,
): Promise<Comparison> {
  const { seed = 0 } = options;
  const { name, heads } = model.manifest;
  if (heads.localProjector === undefined) throw new ParameterError(`${name} has no local projector`);
  requireImages(photographs.count);
  const scratch = await mkdtemp(join(tmpdir(), 'vicregl-'));
  try {
    const dir = join(scratch, 'random');
    await writeRandomModel(dir, model.manifest, seed);
    const trained = await measure(await startEngine(model), photographs, options, 'trained weights');
    const random = await measure(await startEngine(await openModelFolder(dir)), photographs, options, 'random weights');
    const gain = trained.perPhotograph.map((share, i) => share - random.perPhotograph[i]!);
    return { trained, random, gainInterval: bootstrapInterval(gain, { seed }) };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
