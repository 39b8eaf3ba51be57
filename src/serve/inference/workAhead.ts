import type { RunLimits } from '../config/runLimits.js';
import { createRunTimeEstimate } from './runTimeEstimate.js';

/** Images of one size with the same outputs, which share batches. */
export interface Images {
  /** Names size and outputs. */
  readonly key: string;
  /** Of each image. */
  readonly pixels: number;
}

/** The work that waits in a queue and that runs, and how long it takes by the times of earlier runs. */
export interface WorkAhead {
  /** An image begins to wait. */
  add(image: Images): void;
  /** An image that waited runs, or is removed. */
  remove(image: Images): void;
  /** A run of so many pixels begins. @returns is called when it ends: with its seconds, or without if it failed */
  begin(pixels: number): (seconds?: number) => void;
  /**
   * Estimated seconds until all images that wait have run; undefined while nothing is known.
   * @param placed further images that are being decoded
   */
  secondsToWait(workers: number, placed?: number): number | undefined;
  /** Estimated seconds of a run; undefined while nothing is known. */
  secondsFor(pixels: number): number | undefined;
}

export function createWorkAhead({ batchImages, batchPixels }: RunLimits): WorkAhead {
  const runTime = createRunTimeEstimate();
  const waiting = new Map<string, { readonly pixels: number; images: number }>();
  const running = new Set<{ readonly pixels: number }>();
  /** Pixels of the last image: the estimate for images that are still being decoded. */
  let lastPixels = 0;

  const secondsFor = (pixels: number): number => runTime.secondsFor(pixels) ?? 0;

  /** Images of one size run in as few batches as possible. */
  function secondsOf(images: number, pixels: number): number {
    const fitting = Math.min(batchImages, Math.max(1, Math.floor(batchPixels / pixels)));
    return Math.floor(images / fitting) * secondsFor(fitting * pixels) + secondsFor((images % fitting) * pixels);
  }

  return {
    add({ key, pixels }) {
      lastPixels = pixels;
      const known = waiting.get(key);
      if (known) known.images++;
      else waiting.set(key, { pixels, images: 1 });
    },
    remove({ key }) {
      const known = waiting.get(key)!;
      if (--known.images === 0) waiting.delete(key);
    },
    begin(pixels) {
      const run = { pixels };
      running.add(run);
      return (seconds) => {
        running.delete(run);
        if (seconds !== undefined) runTime.measured(pixels, seconds);
      };
    },
    secondsToWait(workers, placed = 0) {
      if (runTime.secondsFor(lastPixels) === undefined) return undefined;
      let seconds = placed > 0 ? secondsOf(placed, lastPixels) : 0;
      for (const { images, pixels } of waiting.values()) seconds += secondsOf(images, pixels);
      // On average, half of a run is done.
      for (const { pixels } of running) seconds += secondsFor(pixels) / 2;
      return seconds / Math.max(1, workers);
    },
    secondsFor: runTime.secondsFor,
  };
}
