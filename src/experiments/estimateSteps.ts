import { openImageSource, sourceText } from '../data/sources.js';
import type { TrainConfig } from '../train/config.js';
import { scheduleOf } from '../train/plan.js';

/** Photographs of a training run, and its steps. */
export interface StepsEstimate {
  readonly photographs: number;
  readonly steps: number;
}

/** Estimates steps of training configurations; each source of photographs is opened once. */
export function createStepsEstimate(): (config: TrainConfig) => Promise<StepsEstimate> {
  const counts = new Map<string, Promise<number>>();
  const count = async ({ data: { source, labels } }: TrainConfig): Promise<number> => {
    const opened = await openImageSource(source, { labels, given: 'data.source' });
    try {
      return opened.count;
    } finally {
      await opened.close();
    }
  };
  return async (config) => {
    const key = `${sourceText(config.data.source)} ${config.data.labels}`;
    if (!counts.has(key)) counts.set(key, count(config));
    const photographs = await counts.get(key)!;
    const stepsPerEpoch = Math.floor(photographs / config.batchSize);
    return { photographs, steps: stepsPerEpoch === 0 ? 0 : scheduleOf(config, stepsPerEpoch).totalSteps };
  };
}
