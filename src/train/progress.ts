import { SingleBar } from 'cli-progress';
import type { StepRecord } from './runLog.js';

/** Shows how a run goes: a bar with the time left on a terminal, plain lines elsewhere. */
export interface Progress {
  step(record: StepRecord): void;
  /** A line above the bar. */
  note(text: string): void;
  stop(): void;
}

/** Seconds between plain lines. */
const PLAIN_INTERVAL_S = 20;

function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

function figures(record: StepRecord): string {
  const number = (name: string) => (record[name] ?? Number.NaN).toFixed(3);
  return `loss ${number('l')} stdr ${number('stdr')} ${record.images_per_s.toFixed(1)} images/s`;
}

/** @param stream where it is written; a bar only when it is a terminal. */
export function createProgress(start: number, total: number, stream: NodeJS.WriteStream): Progress {
  if (stream.isTTY) {
    const bar = new SingleBar({
      format: '{bar} {value}/{total} steps | ETA {eta_formatted} | {figures}',
      stream,
      hideCursor: true,
      etaBuffer: 20,
    });
    bar.start(total, start, { figures: '' });
    return {
      step: (record) => bar.update(record.step, { figures: figures(record) }),
      note: (text) => stream.write(`\r\u001b[K${text}\n`),
      stop: () => bar.stop(),
    };
  }
  const began = performance.now();
  let last = Number.NEGATIVE_INFINITY;
  return {
    step(record) {
      const now = performance.now();
      if (now - last < PLAIN_INTERVAL_S * 1e3 && record.step < total) return;
      last = now;
      const left = ((now - began) / 1e3 / (record.step - start)) * (total - record.step);
      stream.write(`step ${record.step}/${total} | ${duration(left)} left | ${figures(record)}\n`);
    },
    note: (text) => stream.write(`${text}\n`),
    stop: () => undefined,
  };
}
