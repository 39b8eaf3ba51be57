import { add, cast, div, erf, exp, halfAbove, mul, neg, step, sub, where } from '../ops/elementwise.js';
import { type FamilyGradients, unbroadcast, whenNeeded } from './rule.js';

export const elementwiseRules = {
  // d(a + b) = da + db
  Add: ({ x: [a, b], gy, needs }) => [
    whenNeeded(needs[0], () => unbroadcast(gy, a!)),
    whenNeeded(needs[1], () => unbroadcast(gy, b!)),
  ],
  // d(a - b) = da - db
  Sub: ({ x: [a, b], gy, needs }) => [
    whenNeeded(needs[0], () => unbroadcast(gy, a!)),
    whenNeeded(needs[1], () => unbroadcast(neg(gy), b!)),
  ],
  // d(a b) = b da + a db; a square needs one product
  Mul: ({ x: [a, b], gy, needs }) => {
    if (a === b) return [mul(mul(gy, 2), a!), undefined];
    return [
      whenNeeded(needs[0], () => unbroadcast(mul(gy, b!), a!)),
      whenNeeded(needs[1], () => unbroadcast(mul(gy, a!), b!)),
    ];
  },
  // d(a / b) = da / b - (a / b) db / b
  Div: ({ x: [a, b], y: [y], gy, needs }) => [
    whenNeeded(needs[0], () => unbroadcast(div(gy, b!), a!)),
    whenNeeded(needs[1], () => unbroadcast(neg(mul(gy, div(y!, b!))), b!)),
  ],
  Neg: ({ gy }) => [neg(gy)],
  // d exp(x) = exp(x) dx
  Exp: ({ y: [y], gy }) => [mul(gy, y!)],
  // d log(x) = dx / x
  Log: ({ x: [x], gy }) => [div(gy, x!)],
  // d sqrt(x) = dx / (2 sqrt(x))
  Sqrt: ({ y: [y], gy }) => [div(mul(gy, 0.5), y!)],
  // d erf(x) = 2 / sqrt(pi) exp(-x^2) dx
  Erf: ({ x: [x], gy }) => [mul(gy, mul(exp(neg(mul(x!, x!))), 2 / Math.sqrt(Math.PI)))],
  // d max(x, 0) = [y > 0] dx
  Relu: ({ y: [y], gy }) => [mul(gy, step(y!))],
  Identity: ({ gy }) => [gy],
  Cast: ({ x: [x], gy }) => [cast(gy, x!.dtype)],
  Where: ({ x: [condition, yes, no], gy, needs }) => {
    const zero = gy.graph.scalar(0, gy.dtype);
    return [
      undefined,
      whenNeeded(needs[1], () => unbroadcast(where(condition!, gy, zero), yes!)),
      whenNeeded(needs[2], () => unbroadcast(where(condition!, zero, gy), no!)),
    ];
  },
  // d (x Phi(x)) = (Phi(x) + x phi(x)) dx, with Phi = (1 + erf(x / sqrt 2)) / 2 and phi = exp(-x^2 / 2) / sqrt(2 pi)
  Gelu: ({ x: [x], gy }) => {
    const scaled = mul(x!, Math.SQRT1_2);
    const cumulative = halfAbove(erf(scaled));
    // the density's factor stands in the exponent, where it takes no pass of its own
    const density = exp(sub(-0.5 * Math.log(2 * Math.PI), mul(scaled, scaled)));
    return [mul(gy, add(mul(density, x!), cumulative))];
  },
  Greater: 'none',
  HardSigmoid: 'unsupported',
} satisfies FamilyGradients;
