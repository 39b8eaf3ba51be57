/** How much of a new measurement goes into the rate: the last ten runs count for two thirds. */
const WEIGHT = 0.1;

/** Runs before an estimate is given: the first ones pay for memory and code that later ones find. */
const FEWEST_RUNS = 3;

/** Estimates how long images wait, from what runs have taken. */
export interface ServiceRate {
  /** A run of so many pixels took so long. */
  measured(pixels: number, seconds: number): void;
  /** Seconds that so many pixels take when `workers` share them; undefined while too little is known. */
  secondsFor(pixels: number, workers: number): number | undefined;
}

export function createServiceRate(): ServiceRate {
  let runs = 0;
  let secondsPerPixel = 0;
  return {
    measured(pixels, seconds) {
      runs++;
      const weight = Math.max(WEIGHT, 1 / runs);
      secondsPerPixel += weight * (seconds / pixels - secondsPerPixel);
    },
    secondsFor: (pixels, workers) =>
      runs < FEWEST_RUNS ? undefined : (pixels * secondsPerPixel) / Math.max(1, workers),
  };
}
