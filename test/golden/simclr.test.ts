import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeModel } from '../../src/onnx/encode.js';
import { createSession, runSession } from '../../src/onnx/session.js';
import { vicreglLoss } from '../../src/vicregl/loss.js';
import { relativeError } from '../support/graphs.js';
import { openGolden } from './goldenFile.js';
import { goldenLossConfig, goldenViews, outputLoss } from './goldenLoss.js';

describe('SimCLR-L loss on simclr_multicrop', () => {
  it('computes both losses within 1e-5 and every gradient within 1e-4 of PyTorch', async (context) => {
    const inputs = await openGolden('criterion_multicrop');
    const golden = await openGolden('simclr_multicrop');
    const { graph, feeds, views } = goldenViews(inputs);
    const { global, local, total } = vicreglLoss(views, {
      ...goldenLossConfig(inputs),
      simclr: { temperature: golden.setting('temperature') },
    });
    outputLoss(graph, total, views);
    graph.output('global_contrast', global!.contrast!);
    graph.output('local_contrast', local!.contrast!);
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
