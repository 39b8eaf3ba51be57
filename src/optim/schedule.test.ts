import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { learningRate, type ScheduleConfig } from './schedule.js';

const config: ScheduleConfig = { baseLr: 0.5, batchSize: 512, warmupSteps: 4, totalSteps: 12, endLrRatio: 0.001 };
const peak = 1; // 0.5 * 512 / 256

const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) < 1e-12, `${actual}, ${expected}`);

describe('learningRate', () => {
  it('rises linearly from 0, and reaches the peak after the warm-up', () => {
    [0, 0.25, 0.5, 0.75, 1].forEach((expected, step) => {
      near(learningRate(step, config), expected * peak);
    });
  });

  it('decays along half a cosine to the end ratio, and remains there', () => {
    near(learningRate(8, config), 0.5 * (1 + 0.001));
    near(learningRate(6, config), 0.5 * (1 + Math.SQRT1_2) + 0.001 * 0.5 * (1 - Math.SQRT1_2));
    near(learningRate(12, config), 0.001);
    near(learningRate(100, config), 0.001);
  });

  it('is at the peak from the start without a warm-up', () => {
    near(learningRate(0, { ...config, warmupSteps: 0 }), peak);
  });

  it('is finite if the warm-up takes the complete run, and in a run of one step', () => {
    const full = { ...config, warmupSteps: 12 };
    near(learningRate(11, full), 11 / 12);
    near(learningRate(0, { ...config, warmupSteps: 0, totalSteps: 1 }), peak);
    near(learningRate(0, { ...config, warmupSteps: 1, totalSteps: 1 }), 0);
    near(learningRate(1, { ...config, warmupSteps: 1, totalSteps: 1 }), peak * config.endLrRatio);
  });
});
