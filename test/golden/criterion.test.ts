import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeModel } from '../../src/onnx/encode.js';
import { createSession, runSession } from '../../src/onnx/session.js';
import { vicreglLoss } from '../../src/vicregl/loss.js';
import { featureDistances, locationDistances, nearestPairs } from '../../src/vicregl/matching.js';
import { relativeError } from '../support/graphs.js';
import { openGolden } from './goldenFile.js';
import { goldenLossConfig, goldenViews, outputLoss } from './goldenLoss.js';

const files = ['criterion_two_views', 'criterion_two_views_top_gamma', 'criterion_multicrop'];

for (const name of files) {
  describe(`VICRegL loss on ${name}`, async () => {
    const golden = await openGolden(name);
    const numMatches = golden.setting<[number, number]>('num_matches');

    it('computes the loss terms within 1e-4 and every gradient within 1e-3', async (context) => {
      const { graph, feeds, views } = goldenViews(golden);
      const terms = vicreglLoss(views, goldenLossConfig(golden));
      outputLoss(graph, terms.total, views);
      for (const kind of ['global', 'local'] as const) {
        for (const term of ['invariance', 'variance', 'covariance'] as const) {
          graph.output(`${kind}_${term}`, terms[kind]![term]!);
        }
      }
      const session = await createSession(encodeModel(graph), { threads: 1 });
      const results = await runSession(session, feeds);
      await session.release();
      const worst = { terms: 0, gradients: 0 };
      for (const [output, { data }] of results) {
        const error = relativeError(data as Float32Array, golden.numbers(output));
        const isGradient = output.includes('grad');
        assert.ok(error <= (isGradient ? 1e-3 : 1e-4), `${output}: relative error ${error}`);
        const kind = isGradient ? 'gradients' : 'terms';
        worst[kind] = Math.max(worst[kind], error);
      }
      context.diagnostic(
        `largest relative errors: terms ${worst.terms.toExponential(1)}, gradients ${worst.gradients.toExponential(1)}`,
      );
      assert.equal(results.size, 7 + 2 * views.length);
    });

    it('selects the same matches', async () => {
      const { graph, feeds, views } = goldenViews(golden);
      const expected = new Set(golden.names.flatMap((key) => /^(match\..*)\.source$/.exec(key)?.[1] ?? []));
      assert.ok(expected.size > 0);
      for (const key of expected) {
        const [, kind, i, j] = /^match\.(\w+)\.(\d+)to(\d+)$/.exec(key)!;
        const [source, target] = [views[Number(i)]!, views[Number(j)]!];
        const distances =
          kind === 'location'
            ? locationDistances(source.locations, target.locations)
            : featureDistances(source.mapsEmbedding, target.mapsEmbedding);
        const gamma = golden.tensor(`${key}.source`).shape[1]!;
        assert.equal(gamma, Number(i) < Number(j) ? numMatches[0] : numMatches[1]);
        const { sources, targets } = nearestPairs(distances, gamma);
        graph.output(`${key}.source`, sources!);
        graph.output(`${key}.target`, targets);
      }
      const session = await createSession(encodeModel(graph), { threads: 1 });
      const results = await runSession(session, feeds);
      await session.release();
      for (const [output, { data }] of results)
        assert.deepEqual(Array.from(data as BigInt64Array, Number), golden.numbers(output), output);
    });
  });
}
