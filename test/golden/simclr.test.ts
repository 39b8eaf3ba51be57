import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeModel } from '../../src/onnx/encode.js';
import { gradients } from '../../src/onnx/gradients.js';
import { Graph } from '../../src/onnx/graph.js';
import { createSession, runSession } from '../../src/onnx/session.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { vicreglLoss } from '../../src/vicregl/loss.js';
import { relativeError } from '../support/graphs.js';
import { openGolden } from './goldenFile.js';

describe('SimCLR-L loss on simclr_multicrop', () => {
  it('computes both losses within 1e-5 and every gradient within 1e-4 of PyTorch', async (context) => {
    const inputs = await openGolden('criterion_multicrop');
    const golden = await openGolden('simclr_multicrop');
    const graph = new Graph();
    const feeds = new Map<string, Tensor>();
    const input = (key: string) => {
      const value = inputs.tensor(key);
      feeds.set(key, value);
      return graph.input(key, value.dtype, value.shape);
    };
    const viewCount = golden.setting<number>('large_views') + golden.setting<number>('small_views');
    const views = Array.from({ length: viewCount }, (_, v) => ({
      embedding: input(`embedding.${v}`),
      mapsEmbedding: input(`maps_embedding.${v}`),
      locations: input(`locations.${v}`),
    }));
    const { global, local, total } = vicreglLoss(views, {
      alpha: golden.setting('alpha'),
      numMatches: golden.setting('num_matches'),
      featureMatches: golden.setting<number>('l2_all_matches') === 1 ? 'all' : 'top',
      weights: { invariance: 25, variance: 25, covariance: 1 },
      simclr: { temperature: golden.setting('temperature') },
    });
    graph.output('loss', total);
    graph.output('global_contrast', global!.contrast!);
    graph.output('local_contrast', local!.contrast!);
    const vectors = views.flatMap(({ embedding, mapsEmbedding }) => [embedding, mapsEmbedding]);
    gradients(total, vectors).forEach((gradient, i) => {
      graph.output(vectors[i]!.name.replace(/embedding\./, 'embedding_grad.'), gradient);
    });
    const session = await createSession(encodeModel(graph), { threads: 1 });
    const results = await runSession(session, feeds);
    await session.release();
    assert.deepEqual([...results.keys()].sort(), [...golden.names].sort());
    const worst = { losses: 0, gradients: 0 };
    for (const [output, { data }] of results) {
      const error = relativeError(data as Float32Array, golden.numbers(output));
      const kind = output.includes('grad') ? 'gradients' : 'losses';
      assert.ok(error <= (kind === 'gradients' ? 1e-4 : 1e-5), `${output}: relative error ${error}`);
      worst[kind] = Math.max(worst[kind], error);
    }
    context.diagnostic(
      `largest relative errors: losses ${worst.losses.toExponential(1)}, gradients ${worst.gradients.toExponential(1)}`,
    );
  });
});
