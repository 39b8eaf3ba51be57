import type { Collectives } from '../distributed/collectives.js';
import { gatherTexts } from '../distributed/gatherTexts.js';
import { packageVersion } from '../models/packageVersion.js';
import { headNorm } from '../nn/backbone.js';
import { env as ortEnv } from '../onnx/runtime.js';
import { backboneOf, ConfigError, type TrainConfig } from './config.js';
import { divisorsOf, neighboursIn } from './divisors.js';
import { microBatchChoices } from './microBatch.js';
import { stepConfigOf } from './plan.js';
import { keyDifferences, shown } from './resume.js';
import { passSize } from './stepConfig.js';

/** What the processes of a distributed training agree on. */

/** @throws ConfigError for a configuration that so many ranks cannot share. */
export function checkRanks(config: TrainConfig, ranks: number): void {
  const { batchSize, stepsPerRun, syncBatchNorm } = config;
  if (ranks === 1) return;
  if (batchSize % ranks !== 0) {
    const near = neighboursIn(divisorsOf(batchSize), ranks);
    throw new ConfigError(
      `batchSize ${batchSize} cannot be divided among ${ranks} ranks; use ${near.join(' or ')} ranks, or a batchSize that is a multiple of ${ranks}`,
    );
  }
  const own = batchSize / ranks;
  const norm = headNorm(backboneOf(config.model));
  const pass = passSize(stepConfigOf(config, undefined), ranks);
  if (own % pass !== 0) {
    const near = neighboursIn(divisorsOf(batchSize / pass), ranks);
    throw new ConfigError(
      `microBatch ${pass} does not divide the ${own} photographs of a rank (batchSize ${batchSize} on ${ranks} ranks), and batch normalisation takes its statistics over micro-batches; use ${near.join(' or ')} ${near.at(-1) === 1 ? 'rank' : 'ranks'}, or in a new run microBatch ${microBatchChoices(own, norm).join(', ')}`,
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
  const own = {
    'version of vicregl': packageVersion(),
    'version of ONNX Runtime': ortEnv.versions.node,
    device,
    photographs,
  };
  const texts = await gatherTexts(collectives, JSON.stringify({ own, config: comparable(config) }));
  const all = texts.map((text) => JSON.parse(text) as { own: typeof own; config: object });
  const refuse = (what: string, ours: unknown, theirs: unknown, other: number): never => {
    throw new ConfigError(
      `the ranks differ in their ${what}: ${ours} on rank 0, ${theirs} on rank ${other}; start all with the same`,
    );
  };
  for (const what of Object.keys(own) as (keyof typeof own)[]) {
    const other = all.findIndex((each) => each.own[what] !== all[0]!.own[what]);
    if (other !== -1) refuse(what, all[0]!.own[what], all[other]!.own[what], other);
    // Versions that differ read the same configuration in different ways.
    if (what !== 'device') continue;
    for (const [rank, each] of all.entries()) {
      const [difference] = keyDifferences(all[0]!.config, each.config);
      if (difference === undefined) continue;
      const { key, before, now } = difference;
      refuse(`configuration (${key})`, shown(before), shown(now), rank);
    }
  }
}

/** What must be equal: not the paths, which may differ from machine to machine, nor numbers of threads, which do not change the batches. */
function comparable({ threads: _, data: { labels }, probe, ...rest }: TrainConfig): object {
  if (probe === undefined) return { ...rest, data: { labels } };
  // Rank 0 alone reads the photographs of the probes.
  const { data: _data, test: _test, ...measured } = probe;
  return { ...rest, data: { labels }, probe: measured };
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
