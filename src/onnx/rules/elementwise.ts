import { add, cast, div, erf, exp, halfAbove, heaviside, mul, neg, sub, where } from '../ops/elementwise.js';
import type { FamilyGradients } from './rule.js';

export const elementwiseRules = {
  // d(a + b) = da + db
  Add: ({ gy }) => [() => gy, () => gy],
  // d(a - b) = da - db
  Sub: ({ gy }) => [() => gy, () => neg(gy)],
  // d(a b) = b da + a db; a square needs one product
  Mul: ({ x: [a, b], gy }) => {
    if (a === b) return [() => mul(mul(gy, 2), a!), undefined];
    return [() => mul(gy, b!), () => mul(gy, a!)];
  },
  // d(a / b) = da / b - (a / b) db / b
  Div: ({ x: [, b], y: [y], gy }) => [() => div(gy, b!), () => neg(mul(gy, div(y!, b!)))],
  Neg: ({ gy }) => [() => neg(gy)],
  // d exp(x) = exp(x) dx
  Exp: ({ y: [y], gy }) => [() => mul(gy, y!)],
  // d log(x) = dx / x
  Log: ({ x: [x], gy }) => [() => div(gy, x!)],
  // d sqrt(x) = dx / (2 sqrt(x))
  Sqrt: ({ y: [y], gy }) => [() => div(mul(gy, 0.5), y!)],
  // d erf(x) = 2 / sqrt(pi) exp(-x^2) dx
  Erf: ({ x: [x], gy }) => [() => mul(gy, mul(exp(neg(mul(x!, x!))), 2 / Math.sqrt(Math.PI)))],
  // d max(x, 0) = [y > 0] dx
  Relu: ({ y: [y], gy }) => [() => mul(gy, heaviside(y!))],
  Identity: ({ gy }) => [() => gy],
  Cast: ({ x: [x], gy }) => [() => cast(gy, x!.dtype)],
  Where: ({ x: [condition], gy }) => {
    const zero = gy.graph.scalar(0, gy.dtype);
    return [undefined, () => where(condition!, gy, zero), () => where(condition!, zero, gy)];
  },
  // d (x Phi(x)) = (Phi(x) + x phi(x)) dx, with Phi = (1 + erf(x / sqrt 2)) / 2 and phi = exp(-x^2 / 2) / sqrt(2 pi)
  Gelu: ({ x: [x], gy }) => {
    const scaled = mul(x!, Math.SQRT1_2);
    const cumulative = halfAbove(erf(scaled));
    // the density's factor is in the exponent, where it needs no pass of its own
    const density = exp(sub(-0.5 * Math.log(2 * Math.PI), mul(scaled, scaled)));
    return [() => mul(gy, add(mul(density, x!), cumulative))];
  },
  Greater: 'none',
  HardSigmoid: 'unsupported',
} satisfies FamilyGradients;
