import type { OutputName } from '../../../engine/engine.js';
import type { Manifest } from '../../../models/manifest.js';

/** The map of one stage of a backbone, which the backbone's graph also gives. */
export interface Stage {
  /** Counted from 1. */
  readonly stage: number;
  readonly output: OutputName;
  readonly channels: number;
  /** Input pixels from one cell to the next. */
  readonly stride: number;
}

/** The stages whose maps a model folder has, by number. */
export function stagesOf({ outputs }: Pick<Manifest, 'outputs'>): readonly Stage[] {
  return Object.entries(outputs)
    .flatMap(([name, { shape, stride }]) => {
      const stage = /^stage(\d+)$/.exec(name)?.[1];
      const channels = shape.at(-1);
      if (stage === undefined || stride === undefined || typeof channels !== 'number') return [];
      return [{ stage: Number(stage), output: `stage${Number(stage)}` as const, channels, stride }];
    })
    .sort((a, b) => a.stage - b.stage);
}
