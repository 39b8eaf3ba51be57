import { type BackboneConfig, headNorm } from '../nn/backbone.js';
import { divisorsOf, neighboursIn } from './divisors.js';
import { isMicroBatched, type StepConfig, statisticsSize } from './stepConfig.js';

/** Sizes of micro-batches, and what they do to batch normalisation. */

/** The possible micro-batch sizes of a batch, ascending; the last is the whole batch. @param norm of the network's heads. */
export function microBatchChoices(batchSize: number, norm: 'layer' | 'batch'): number[] {
  // The variance of a single vector is undefined.
  const min = norm === 'batch' ? 2 : 1;
  return divisorsOf(batchSize, min);
}

/** Problems of a micro-batch size, with values that are valid. */
export function microBatchProblems(
  { batchSize, microBatch, stepsPerRun }: { batchSize: number; microBatch?: number | undefined; stepsPerRun: number },
  backbone: BackboneConfig,
): string[] {
  if (microBatch === undefined || microBatch === batchSize) return [];
  const divisors = microBatchChoices(batchSize, headNorm(backbone));
  const use = `use ${neighboursIn(divisors, microBatch).join(' or ')}`;
  return [
    ...(batchSize % microBatch === 0 ? [] : [`${microBatch} does not divide batchSize ${batchSize}; ${use}`]),
    ...(microBatch < divisors[0]!
      ? [`${microBatch} is too small for batch normalisation, which computes its statistics over a micro-batch; ${use}`]
      : []),
    ...(stepsPerRun === 1
      ? []
      : [
          `${microBatch} needs several runs per step, but stepsPerRun ${stepsPerRun} means several steps per run; remove one of them`,
        ]),
  ];
}

/** What changes with micro-batches for a network with batch normalisation. @param over photographs of the statistics */
export const partStatistics = (over: number, batchSize: number): string =>
  `batch normalisation takes its statistics over ${over} photographs, not over the ${batchSize} of the batch, ` +
  'which makes it a different network function';

/** A warning for micro-batches of a network with batch normalisation. @param ranks among which each batch is shared */
export function microBatchWarning(config: StepConfig, ranks: number): string | undefined {
  if (!isMicroBatched(config)) return undefined;
  const over = statisticsSize(config, ranks) ?? config.batchSize;
  return over < config.batchSize
    ? `with microBatch ${config.microBatch} ${partStatistics(over, config.batchSize)}`
    : undefined;
}
