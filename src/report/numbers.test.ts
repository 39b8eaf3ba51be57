import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { differenceText, measureText, verdict } from './numbers.js';

describe('measureText', () => {
  it('shows shares in per cent, pixels, and others with three digits, each with its interval', () => {
    assert.equal(measureText({ value: 0.6312, interval: [0.6161, 0.6457] }, 'share'), '63.1 % [61.6, 64.6]');
    assert.equal(measureText({ value: 3.2149, interval: [2.9, 12] }, 'pixels'), '3.21 px [2.90, 12.00]');
    assert.equal(measureText({ value: 0.001234 }, 'number'), '0.00123');
    assert.equal(measureText({ value: 1234.5 }, 'number'), '1235');
    assert.equal(measureText({ value: 0 }, 'number'), '0.00');
  });

  it('names what does not exist', () => {
    assert.equal(measureText({ value: null, interval: [null, null] }, 'share'), 'n/a');
    assert.equal(measureText({ value: 0.5, interval: [null, null] }, 'share'), '50.0 %');
    assert.equal(measureText({ value: 0.5, interval: [null, 0.75] }, 'share'), '50.0 % [n/a, 75.0]');
  });
});

describe('differenceText', () => {
  it('has signs and percentage points, and no sign for what is rounded to zero', () => {
    assert.equal(differenceText({ value: 0.031, interval: [-0.012, 0.05] }, 'share'), '+3.1 points [-1.2, +5.0]');
    assert.equal(differenceText({ value: -1.5, interval: [-2, 0] }, 'pixels'), '-1.50 px [-2.00, 0.00]');
    assert.equal(differenceText({ value: -0.0004, interval: [-0.01, 0.0004] }, 'share'), '0.0 points [-1.0, 0.0]');
  });
});

describe('verdict', () => {
  it('tells on which side of 0 an interval lies, if it does not contain it', () => {
    assert.equal(verdict([0.1, 0.2], 'higher'), 'better');
    assert.equal(verdict([0.1, 0.2], 'lower'), 'worse');
    assert.equal(verdict([-0.2, -0.1], 'higher'), 'worse');
    assert.equal(verdict([-0.2, -0.1], 'lower'), 'better');
    for (const interval of [
      [-0.1, 0.1],
      [0, 0.1],
      [-0.1, 0],
      [null, 0.1],
      [null, null],
    ] as const) {
      assert.equal(verdict(interval, 'higher'), 'not excluded');
    }
  });
});
