import { createHash } from 'node:crypto';
import type { Collectives } from '../distributed/collectives.js';
import { gatherTexts } from '../distributed/gatherTexts.js';
import { packageVersion } from '../models/packageVersion.js';
import { headNorm } from '../nn/backbone.js';
import { env as ortEnv } from '../onnx/runtime.js';
import { backboneOf, ConfigError, type TrainConfig } from './config.js';
import { divisorsOf, neighboursIn } from './divisors.js';
import { microBatchChoices } from './microBatch.js';

/** What the processes of a distributed training agree on. */

/** @throws ConfigError for a configuration that so many ranks cannot share. */
export function checkRanks(
  { batchSize, microBatch, stepsPerRun, model, syncBatchNorm }: TrainConfig,
  ranks: number,
): void {
  if (ranks === 1) return;
  if (batchSize % ranks !== 0) {
    const near = neighboursIn(divisorsOf(batchSize), ranks);
    throw new ConfigError(
      `batchSize ${batchSize} cannot be divided among ${ranks} ranks; use ${near.join(' or ')} ranks, or a batchSize that is a multiple of ${ranks}`,
    );
  }
  const own = batchSize / ranks;
  const norm = headNorm(backboneOf(model));
  if (microBatch !== undefined && own % microBatch !== 0) {
    throw new ConfigError(
      `microBatch ${microBatch} does not divide the ${own} photographs of a rank (batchSize ${batchSize} on ${ranks} ranks); use ${microBatchChoices(own, norm).join(', ')}`,
    );
  }
  // An explicit microBatch of 1 is found by the configuration.
  if (norm === 'batch' && !syncBatchNorm && own === 1) {
    throw new ConfigError(
      `each of ${ranks} ranks has one photograph (batchSize ${batchSize}), and batch normalisation without syncBatchNorm takes its statistics over that alone; use syncBatchNorm: true, a batchSize of at least ${2 * ranks}, or fewer ranks`,
    );
  }
  if (stepsPerRun > 1) {
    throw new ConfigError(`stepsPerRun is ${stepsPerRun}, and ranks exchange data in every step; set it to 1`);
  }
}

/**
 * Compares what must be equal on all ranks.
 * @param own what this rank trains with: its device, and the fingerprint of its photographs
 * @throws ConfigError on every rank, naming what differs and where.
 */
export async function checkAgreement(
  collectives: Collectives,
  config: TrainConfig,
  { device, photographs }: { readonly device: string; readonly photographs: string },
): Promise<void> {
  if (collectives.size === 1) return;
  // Paths may differ from machine to machine, and the numbers of threads too: they do not change the batches.
  const { threads, data: given, ...rest } = config;
  const { labels } = given;
  const digest = createHash('sha256')
    .update(JSON.stringify({ ...rest, labels }))
    .digest('hex')
    .slice(0, 16);
  const own = {
    'version of vicregl': packageVersion(),
    'version of ONNX Runtime': ortEnv.versions.node,
    device,
    configuration: digest,
    photographs,
  };
  const texts = await gatherTexts(collectives, JSON.stringify(own));
  const all = texts.map((text) => JSON.parse(text) as typeof own);
  for (const what of Object.keys(own) as (keyof typeof own)[]) {
    const other = all.findIndex((each) => each[what] !== all[0]![what]);
    if (other === -1) continue;
    throw new ConfigError(
      `the ranks differ in their ${what}: ${all[0]![what]} on rank 0, ${all[other]![what]} on rank ${other}; start all with the same`,
    );
  }
}

/** What the ranks tell each other before a step. */
export interface Round {
  /** Whether any rank has been asked to stop. */
  readonly stop: boolean;
  /** What the ranks have to say, in rank order; empty if nobody has. */
  readonly said: readonly string[];
}

/** Exchanges whether to stop, and what is to be written by rank 0. */
export async function confer(collectives: Collectives, stop: boolean, say: string): Promise<Round> {
  if (collectives.size === 1) return { stop, said: say === '' ? [] : [say] };
  const flags = Float32Array.of(stop ? 1 : 0, say === '' ? 0 : 1);
  await collectives.allReduceSum(flags);
  const said = flags[1]! > 0 ? await gatherTexts(collectives, say) : [];
  return { stop: flags[0]! > 0, said: said.filter((text) => text !== '') };
}
