import { add, mul, sub } from '../ops/elementwise.js';
import { reduceMean } from '../ops/reduce.js';
import { type GradientRule, unbroadcast, whenNeeded } from './rule.js';

export const normalisationRules = {
  // with n = (x - mean) / std and h = gy * scale: dx = (h - mean(h) - n mean(h n)) / std
  LayerNormalization: ({ x: [x, scale, bias], y: [, mean, inverseStd], gy, needs }) => {
    const normalised = mul(sub(x!, mean!), inverseStd!);
    return [
      whenNeeded(needs[0], () => {
        const h = mul(gy, scale!);
        const projection = reduceMean(mul(h, normalised), [-1], { keepDims: true });
        const centre = reduceMean(h, [-1], { keepDims: true });
        return mul(sub(h, add(mul(normalised, projection), centre)), inverseStd!);
      }),
      whenNeeded(needs[1], () => unbroadcast(mul(gy, normalised), scale!)),
      whenNeeded(needs[2], () => unbroadcast(gy, bias!)),
    ];
  },
} satisfies Record<string, GradientRule | null>;
