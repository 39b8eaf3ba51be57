import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { learningRate } from '../../src/optim/schedule.js';

interface Recipe {
  base_lr: number;
  batch_size: number;
  end_lr_ratio: number;
  total_steps: number;
  warmup_steps: number;
  lr: number[];
  step: number[];
}

const recipes = JSON.parse(await readFile('test/golden/lr_schedule.json', 'utf8')) as Recipe[];

describe('learning rate schedule', () => {
  for (const recipe of recipes) {
    it(`matches the recorded rates within 1e-9 for base lr ${recipe.base_lr} and batch ${recipe.batch_size}`, () => {
      recipe.lr.forEach((expected, i) => {
        const step = recipe.step[i]!;
        const actual = learningRate(step, {
          baseLr: recipe.base_lr,
          batchSize: recipe.batch_size,
          warmupSteps: recipe.warmup_steps,
          totalSteps: recipe.total_steps,
          endLrRatio: recipe.end_lr_ratio,
        });
        assert.ok(
          Math.abs(actual - expected) <= 1e-9 * Math.abs(expected) + 1e-15,
          `step ${step}: ${actual}, expected ${expected}`,
        );
      });
      assert.ok(recipe.lr.length > 1);
    });
  }
});
