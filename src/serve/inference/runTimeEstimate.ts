/** Weight of a new measurement in the moving average: the last ten runs make up two thirds of it. */
const WEIGHT = 0.1;

/** Number of runs before there is an estimate: the first runs are slower, since they allocate memory and load code. */
const FEWEST_RUNS = 3;

/** Estimates the run time of images from the time per pixel of earlier runs. */
export interface RunTimeEstimate {
  /** Records the pixels and the seconds of a run. */
  measured(pixels: number, seconds: number): void;
  /** Estimated seconds for so many pixels on `workers`; undefined before there is an estimate. */
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
