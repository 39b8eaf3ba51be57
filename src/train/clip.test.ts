import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doubles, evaluate, normals, numbers } from '../../test/support/graphs.js';
import type { Value } from '../onnx/graph.js';
import { clipScale, globalNorm, scaledGradients } from './clip.js';

describe('clipping by the global norm', () => {
  const gradients = {
    'backbone.norm.weight': normals([6], 1),
    'projector.0.weight': normals([5], 2),
    'projector.0.bias': [0.25],
    'classifier.weight': [100],
  };
  const norm = Math.hypot(...Object.values(gradients).slice(0, 3).flat());
  const clip = async (clipNorm: number, factor = 1) => {
    const results = await evaluate((feed) => {
      const fed = Object.entries(gradients).map(([name, values]) => {
        const gradient = feed(
          doubles(
            [values.length],
            values.map((value) => factor * value),
          ),
        );
        return { value: feed(doubles([values.length], values), { name }), gradient };
      });
      const total = globalNorm(fed);
      const scale = clipScale(total, clipNorm);
      const scaled = scaledGradients(fed, scale).map(({ value, gradient }) => [`scaled ${value.name}`, gradient]);
      return { total, scale, ...(Object.fromEntries(scaled) as Record<string, Value>) };
    });
    const of = (name: string) => numbers(results[name as keyof typeof results]);
    return {
      norm: of('total')[0]!,
      scale: of('scale')[0]!,
      scaled: Object.keys(gradients).map((name) => of(`scaled ${name}`)),
    };
  };
  const near = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) <= 1e-12 * expected);

  it('treats all gradients of the network as one vector, without the online classifier', async () => {
    near((await clip(1)).norm, norm);
  });

  it('scales gradients over the limit down to it, as clip_grad_norm_ of PyTorch', async () => {
    const { scale, scaled } = await clip(0.5);
    near(scale, 0.5 / (norm + 1e-6));
    const [classifier, ...network] = [...scaled].reverse();
    near(Math.hypot(...network.flat()), (0.5 * norm) / (norm + 1e-6));
    assert.deepEqual(classifier, [100]);
  });

  it('does not change smaller gradients, or gradients of zero', async () => {
    const { scale, scaled } = await clip(norm + 0.1);
    assert.equal(scale, 1);
    assert.deepEqual(scaled, Object.values(gradients));
    const zero = await clip(0.5, 0);
    assert.deepEqual([zero.norm, zero.scale], [0, 1]);
  });
});
