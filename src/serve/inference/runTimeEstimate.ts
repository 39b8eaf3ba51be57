/** How much of a new measurement goes into the mean: the last ten runs count for two thirds. */
const WEIGHT = 0.1;

/** Runs before an estimate is given: the first ones pay for memory and code that later ones find. */
const FEWEST_RUNS = 3;

/** Estimates how long an engine takes for images, from what its runs have taken for each pixel. */
export interface RunTimeEstimate {
  /** Records a run: its pixels, and the seconds that it took. */
  measured(pixels: number, seconds: number): void;
  /** Seconds that so many pixels take when `workers` share them; undefined while too little is known. */
  secondsFor(pixels: number, workers: number): number | undefined;
}

export function createRunTimeEstimate(): RunTimeEstimate {
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
