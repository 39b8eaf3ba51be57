import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { openFileSource } from '../../src/checkpoint/byteSource.js';
import { openCheckpoint } from '../../src/checkpoint/openCheckpoint.js';
import { readNetwork } from '../../src/models/importNetwork.js';
import { readAllWeights } from '../../src/models/weightSource.js';
import { constantParameters } from '../../src/nn/parameters.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { Graph } from '../../src/onnx/graph.js';
import { transpose } from '../../src/onnx/ops/shape.js';
import { createSession, runSession } from '../../src/onnx/session.js';
import { forwardView } from '../../src/train/model.js';
import { relativeError } from '../support/graphs.js';
import { openGolden } from './goldenFile.js';

describe("checkpoints of the authors' code", () => {
  for (const name of ['train_convnext_adamw', 'train_resnet_lars']) {
    it(`${name}.pth: the architecture is inferred, and the outputs equal the recorded ones within 1e-5`, async (context) => {
      const golden = await openGolden(name);
      const file = `test/golden/${name}.pth`;
      const source = await openFileSource(file);
      const network = readNetwork(await openCheckpoint(source), { fileBytes: (await stat(file)).size });
      const weights = await readAllWeights(network.weights);
      await source.close();
      const widths = (key: string) => golden.text(key).split('-').map(Number);
      assert.deepEqual(network.expander, widths('mlp'));
      assert.deepEqual(network.localProjector, widths('maps_mlp'));
      const { backbone, expander, localProjector } = network;
      const graph = new Graph();
      const input = golden.tensor('eval.input');
      const pixels = transpose(graph.input('pixels', 'float32', input.shape), [0, 2, 3, 1]);
      const model = { backbone, expander: expander!, localProjector: localProjector! };
      const outputs = forwardView(pixels, model, constantParameters(graph, weights));
      graph.output('eval.representation', outputs.representation);
      graph.output('eval.maps', outputs.maps);
      graph.output('eval.embedding', outputs.embedding!);
      graph.output('eval.maps_embedding', outputs.mapsEmbedding!);
      const session = await createSession(encodeModel(graph), { threads: 1 });
      const results = await runSession(session, { pixels: input });
      await session.release();
      assert.equal(results.size, 4);
      for (const [output, value] of results) {
        const error = relativeError(value.data as Float32Array, golden.numbers(output));
        assert.ok(error <= 1e-5, `${output}: relative error ${error}`);
        context.diagnostic(`${output}: relative error ${error.toExponential(1)}`);
      }
    });
  }
});
