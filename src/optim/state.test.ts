import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { floats, numbers } from '../../test/support/graphs.js';
import { sgd } from './sgd.js';
import { startState, stateSpecs } from './state.js';

// The state of an optimizer that also averages the weights.
const optimizer = {
  ...sgd({ momentum: 0.9, weightDecay: 0, decayVectors: false }),
  slots: ['momentum', 'ema'],
  slotsFromParameter: ['ema'],
};
const network = {
  parameters: [{ name: 'w', shape: [3], initialiser: { kind: 'uniform', bound: 1 } }],
  buffers: [{ name: 'running_mean', shape: [1], initialiser: { kind: 'ones' } }],
} as const;
const start = (initial: Parameters<typeof startState>[1]['initial']) =>
  startState(stateSpecs(network, { optimizer }), { initial, seed: 1 });

describe('the initial state of a run', () => {
  it('has velocities of zero and averages equal to the initial weights, in separate memory', () => {
    const state = start(new Map());
    assert.deepEqual([...state.keys()], ['w', 'momentum/w', 'ema/w', 'running_mean']);
    assert.ok(numbers(state.get('w')!).every((value) => value !== 0));
    assert.deepEqual(state.get('ema/w'), state.get('w'));
    assert.notEqual(state.get('ema/w')!.data, state.get('w')!.data);
    assert.deepEqual(numbers(state.get('momentum/w')!), [0, 0, 0]);
    assert.deepEqual(numbers(state.get('running_mean')!), [1]);
  });

  it('uses given tensors, and averages start at given weights', () => {
    const w = floats([3], [1, 2, 3]);
    assert.deepEqual(numbers(start(new Map([['w', w]])).get('ema/w')!), [1, 2, 3]);
    const given = new Map([
      ['w', w],
      ['ema/w', floats([3], [4, 5, 6])],
    ]);
    assert.deepEqual(numbers(start(given).get('ema/w')!), [4, 5, 6]);
  });
});
