import { createBar } from '../progress/bar.js';
import type { Term } from './loggedTerms.js';
import type { StepRecord } from './runLog.js';

/** Shows the progress of a run: a bar with the time left on a terminal, plain lines elsewhere. */
export interface Progress {
  step(record: StepRecord): void;
  /** A line above the bar. */
  note(text: string): void;
  stop(): void;
}

/** Seconds between plain lines. */
const PLAIN_INTERVAL_S = 20;

function figures(record: StepRecord): string {
  const number = (name: Term) => (record[name] ?? Number.NaN).toFixed(3);
  return `loss ${number('l')} stdr ${number('stdr')} ${record.images_per_s.toFixed(1)} images/s`;
}

/** @param stream the output; a bar is drawn only on a terminal. */
export function createProgress(start: number, total: number, stream: NodeJS.WriteStream): Progress {
  const bar = createBar({
    ...{ stream, start, total },
    count: (step) => `step ${step}/${total}`,
    plainSeconds: PLAIN_INTERVAL_S,
    plainEnds: true,
  });
  return { step: (record) => bar.update(record.step, figures(record)), note: bar.note, stop: bar.stop };
}
