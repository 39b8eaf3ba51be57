import { headNorm } from '../../nn/backbone.js';
import { microBatchChoices, partStatistics } from '../microBatch.js';
import type { StepConfig } from '../stepConfig.js';
import type { MachineMemory } from './machineMemory.js';
import { type StepMemory, stepMemory } from './memoryEstimate.js';

/** What a run needs in bytes: its step, the batches that it holds, and at most so much of decoded photographs. */
export interface RunMemory extends StepMemory {
  readonly batches: number;
  readonly cache: number;
}

/** Estimates are lower bounds; proposals leave the margin that measurements require (docs/training.md). */
const ROOM = 1.25;

const needed = ({ state, graph, program, batches }: RunMemory): number => state + graph + program + batches;
const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toPrecision(3)} GiB`;

/** The largest of some micro-batches whose estimate is at most `bytes`; memory grows with it. */
function largestFitting(
  choices: readonly number[],
  bytes: number,
  estimate: (microBatch: number) => number,
): number | undefined {
  let [low, high] = [0, choices.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (estimate(choices[middle]!) <= bytes) low = middle + 1;
    else high = middle;
  }
  return choices[low - 1];
}

/**
 * Warnings for a run that needs more memory than there is, with the micro-batch that fits; none for one that fits.
 * @param single of a configuration with several steps a run: bytes of its batches with one, which micro-batches need.
 */
export function memoryWarnings(
  config: StepConfig,
  memory: RunMemory,
  { bytes, limit }: MachineMemory,
  single?: number,
): string[] {
  const minimum = needed(memory);
  const has = limit === 'cgroup' ? "this process's cgroup allows" : 'this machine has';
  if (minimum <= bytes) {
    const cache = Math.max(0, bytes - minimum);
    if (memory.cache <= cache) return [];
    return [
      `with all decoded photographs that it may keep (data.cacheBytes, ${gibibytes(memory.cache)}) the run needs at least ` +
        `${gibibytes(minimum + memory.cache)} of memory, and ${has} ${gibibytes(bytes)}; ` +
        `set data.cacheBytes to at most ${Math.floor(cache / 2 ** 20) * 2 ** 20}`,
    ];
  }
  const estimates = new Map<number, number>();
  const estimate = (microBatch: number): number => {
    const known =
      estimates.get(microBatch) ??
      needed({ ...memory, batches: single ?? memory.batches, ...stepMemory({ ...config, microBatch }) });
    estimates.set(microBatch, known);
    return known;
  };
  const present = config.microBatch ?? config.batchSize;
  const norm = headNorm(config.model.backbone);
  const choices = microBatchChoices(config.batchSize, norm).filter((one) => one < present);
  // One step a run instead of several may be enough.
  const fittingIn = (room: number) =>
    single !== undefined && estimate(present) <= room ? present : largestFitting(choices, room, estimate);
  const fitting = fittingIn(bytes / ROOM) ?? fittingIn(bytes);
  const smallest = choices[0];
  const flagsOf = (one: number) =>
    [...(one < present ? [`--micro-batch ${one}`] : []), ...(single === undefined ? [] : ['--set stepsPerRun=1'])].join(
      ' ',
    );
  const wayOut =
    fitting !== undefined
      ? `${flagsOf(fitting)} needs at least ${gibibytes(estimate(fitting))}` +
        (norm === 'batch' && fitting < present ? `; with it ${partStatistics(fitting, config.batchSize)}` : '')
      : (smallest === undefined
          ? 'smaller micro-batches there are none'
          : `${flagsOf(smallest)} would need ${gibibytes(estimate(smallest))}`) +
        ': take a smaller network, narrower heads (model.expander, model.localProjector), smaller crops or a smaller batchSize';
  return [`the run needs at least ${gibibytes(minimum)} of memory, and ${has} ${gibibytes(bytes)}; ${wayOut}`];
}
