/** Student's t distribution, also with a fractional number of degrees of freedom. */

/** Lanczos' approximation of log gamma, to 1e-13 (Numerical Recipes 6.1 describes it). */
function logGamma(x: number): number {
  const coefficients = [
    676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
    -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  const at = x - 1;
  const t = at + 7.5;
  const series = coefficients.reduce((sum, c, i) => sum + c / (at + i + 1), 0.99999999999980993);
  return 0.5 * Math.log(2 * Math.PI) + (at + 0.5) * Math.log(t) - t + Math.log(series);
}

/** The continued fraction of the incomplete beta function, by Lentz' method; converges fast for x < (a + 1) / (a + b + 2). */
function betaFraction(x: number, a: number, b: number): number {
  const safe = (value: number) => (Math.abs(value) < 1e-300 ? 1e-300 : value);
  let c = 1;
  let d = 1 / safe(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m <= 1000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / safe(1 + even * d);
    c = safe(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / safe(1 + odd * d);
    c = safe(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-14) break;
  }
  return fraction;
}

/** Regularised incomplete beta function I_x(a, b). */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return x < (a + 1) / (a + b + 2) ? (front * betaFraction(x, a, b)) / a : 1 - (front * betaFraction(1 - x, b, a)) / b;
}

/** P(|T| > t) for t >= 0. */
const twoTails = (t: number, degrees: number): number => incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5);

/**
 * The t within which a share `confidence` of the distribution lies: 2.776 for 4 degrees of freedom and 0.95.
 * @param degrees of freedom, above 0; they need not be whole.
 * @throws RangeError for values out of range.
 */
export function studentT(degrees: number, confidence = 0.95): number {
  if (!(degrees > 0)) throw new RangeError(`degrees of freedom are ${degrees}; they must be above 0`);
  if (!(confidence > 0 && confidence < 1))
    throw new RangeError(`confidence is ${confidence}; it must be between 0 and 1`);
  // Above, the difference from the normal distribution is under 1e-6.
  const of = Math.min(degrees, 1e6);
  let [low, high] = [0, 1];
  while (twoTails(high, of) > 1 - confidence) high *= 2;
  for (let i = 0; i < 200 && high - low > 1e-12 * high; i++) {
    const middle = (low + high) / 2;
    if (twoTails(middle, of) > 1 - confidence) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
