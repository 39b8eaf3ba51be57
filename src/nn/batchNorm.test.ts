import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { Graph } from '../onnx/graph.js';
import { createStagedSession } from '../onnx/stagedSession.js';
import { type Tensor, tensor, zeros } from '../tensor/tensor.js';
import { batchNormLayer } from './batchNorm.js';
import { constantParameters, inputParameters, type Parameters } from './parameters.js';

const [count, channels] = [6, 3];
const x = floats([count, channels], normals([count, channels], 1));
const weight = [1.5, -0.5, 2];
const bias = [0.1, 0.2, -0.3];

/** Column c of a [rows, channels] matrix. */
const column = (values: readonly number[], c: number) => values.filter((_, i) => i % channels === c);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const squares = (values: readonly number[]) => values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0);

/** The layer's weights and running statistics in training. */
const trainingState = new Map<string, Tensor>(
  Object.entries({ weight, bias, running_mean: [1, 1, 1], running_var: [2, 2, 2] }).map(([name, values]) => [
    `n.${name}`,
    floats([channels], values),
  ]),
);

function constantsInTraining(graph: Graph): Parameters {
  return { ...constantParameters(graph, trainingState), training: true };
}

/** Sums the values of two callers, who wait for each other. */
function sumOfTwo(): (values: Float32Array) => Promise<void> {
  let waiting: { readonly values: Float32Array; readonly done: () => void } | undefined;
  return (values) =>
    new Promise((done) => {
      if (waiting === undefined) {
        waiting = { values, done };
        return;
      }
      const other = waiting;
      waiting = undefined;
      for (const [i, value] of other.values.entries()) values[i]! += value;
      other.values.set(values);
      other.done();
      done();
    });
}

describe('batchNormLayer', () => {
  it('normalises by the biased variance of the batch and averages the unbiased one into the running variance', async () => {
    const results = await evaluate((feed, graph) => {
      const named = { 'n.weight': weight, 'n.bias': bias, 'n.running_mean': [1, 1, 1], 'n.running_var': [2, 2, 2] };
      const inputs = new Map(
        Object.entries(named).map(([name, values]) => [name, feed(floats([channels], values), { name })]),
      );
      // The layer asks for inputs of these names; they are declared by the feeds above.
      const parameters = {
        ...inputParameters(graph),
        get: (name: string) => inputs.get(name)!,
        buffer: (name: string) => inputs.get(name)!,
        updateBuffer: (name: string, value: typeof y) => inputs.set(name, value),
      };
      const y = batchNormLayer(feed(x), parameters, 'n', 1);
      return { y, mean: inputs.get('n.running_mean')!, variance: inputs.get('n.running_var')! };
    });
    const values = numbers(x);
    const expected = values.map((value, i) => {
      const own = column(values, i % channels);
      return (
        ((value - mean(own)) / Math.sqrt(squares(own) / count + 1e-5)) * weight[i % channels]! + bias[i % channels]!
      );
    });
    assert.ok(relativeError(numbers(results.y), expected) < 1e-6);
    const each = Array.from({ length: channels }, (_, c) => column(values, c));
    assert.ok(
      relativeError(
        numbers(results.mean),
        each.map((own) => 0.9 * 1 + 0.1 * mean(own)),
      ) < 1e-6,
    );
    assert.ok(
      relativeError(
        numbers(results.variance),
        each.map((own) => 0.9 * 2 + (0.1 * squares(own)) / (count - 1)),
      ) < 1e-6,
    );
  });

  it('keeps on several ranks the variance of a channel whose mean is large beside it', async () => {
    const all = normals([2 * count, channels], 2).map((value) => 100 + 0.01 * value);
    const { y } = await evaluate((feed, graph) => ({
      y: batchNormLayer(feed(floats([2 * count, channels], all)), constantsInTraining(graph), 'n', 1),
    }));
    const sum = sumOfTwo();
    const parts = await Promise.all(
      [0, 1].map(async (rank) => {
        const graph = new Graph();
        const part = graph.input('x', 'float32', [count, channels]);
        const parameters = inputParameters(graph, { ranks: { rank, size: 2 } });
        graph.output('y', batchNormLayer(part, parameters, 'n', 1));
        for (const { name, value } of parameters.buffers) graph.output(`${name}/updated`, value);
        const session = await createStagedSession(graph, { threads: 1 }, sum);
        const own = floats([count, channels], all.slice(rank * count * channels, (rank + 1) * count * channels));
        const feeds = new Map<string, Tensor>([...trainingState, ['x', own]]);
        const outputs = new Map<string, Tensor>([
          ['y', zeros('float32', [count, channels])],
          ['n.running_mean/updated', zeros('float32', [channels])],
          ['n.running_var/updated', zeros('float32', [channels])],
        ]);
        await session.run((name) => feeds.get(name)!, outputs);
        await session.close();
        return outputs;
      }),
    );
    const together = parts.flatMap((outputs) => numbers(outputs.get('y')!));
    // A rounding of the mean is a thousandth of the spread.
    assert.ok(relativeError(together, numbers(y)) < 1e-2, `${relativeError(together, numbers(y))}`);
    for (const statistic of ['n.running_mean/updated', 'n.running_var/updated']) {
      assert.deepEqual(parts[0]!.get(statistic), parts[1]!.get(statistic));
    }
    const moved = numbers(parts[0]!.get('n.running_var/updated')!);
    for (const [c, value] of moved.entries()) {
      const own = column(all, c);
      const expected = 0.9 * 2 + (0.1 * squares(own)) / (2 * count - 1);
      assert.ok(Math.abs(value - expected) < 1e-6, `${value}, not ${expected}`);
    }
  });

  it('uses the running statistics outside training', async () => {
    const weights = new Map(
      Object.entries({ weight, bias, running_mean: [0.5, 0, -1], running_var: [4, 1, 0.25] }).map(([name, values]) => [
        `n.${name}`,
        tensor('float32', [channels], Float32Array.from(values)),
      ]),
    );
    const { y } = await evaluate((feed, graph) => ({
      y: batchNormLayer(feed(x), constantParameters(graph, weights), 'n', 1),
    }));
    const expected = numbers(x).map((value, i) => {
      const c = i % channels;
      const [centre, variance] = [[0.5, 0, -1][c]!, [4, 1, 0.25][c]!];
      return ((value - centre) / Math.sqrt(variance + 1e-5)) * weight[c]! + bias[c]!;
    });
    assert.ok(relativeError(numbers(y), expected) < 1e-6);
  });
});
