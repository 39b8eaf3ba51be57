import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseTrainConfig } from './config.js';
import { reasonsNotLogged } from './expectedTerms.js';
import { isRunFigure, LOGGED_TERMS, type Term } from './loggedTerms.js';
import { stepConfigOf } from './plan.js';
import { buildStep } from './stepGraph.js';

it('what a configuration is expected to log is what its step has', () => {
  const small = {
    ...{ name: 'a', data: { source: 'x' }, batchSize: 4, epochs: 1 },
    crops: { size: 32 },
    model: { architecture: 'custom', depths: [1, 1], widths: [4, 8], expander: [4], localProjector: [4] },
  };
  for (const [loss, labels] of [
    [{}, 'none'],
    [{}, 'folders'],
    [{ alpha: 1 }, 'none'],
    [{ alpha: 0 }, 'none'],
    [{ criterion: 'simclr' }, 'none'],
    [{ criterion: 'simclr', alpha: 1, variance: 0 }, 'none'],
    [{ variance: 0, covariance: 0 }, 'none'],
    [{ variance: 0, local: { variance: 1, invariance: 0 } }, 'none'],
    [{ alpha: 0, covariance: 0, local: { variance: 0 } }, 'none'],
  ] as const) {
    const keys = { ...small, data: { source: 'x', labels }, loss: { numMatches: [4, 4], ...loss } };
    const config = parseTrainConfig(keys, 'x.yaml');
    const { logs } = buildStep(stepConfigOf(config, labels === 'none' ? undefined : 3));
    const reasons = reasonsNotLogged(config);
    const expected = (Object.keys(LOGGED_TERMS) as Term[]).filter(
      (term) => !isRunFigure(term) && reasons[term] === undefined,
    );
    assert.deepEqual(logs.toSorted(), expected.toSorted(), JSON.stringify({ loss, labels }));
    assert.ok(reasons.knn_top1 && reasons.probe_l);
  }
});
