import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { featuresMessage } from './features.js';
import { matchingMessage } from './options.js';
import { matchDistances, protocolName } from './protocolNames.js';

describe('protocolName', () => {
  it('gives the name of a value', () => {
    assert.equal(protocolName('distance', matchDistances, 'centredCosine'), 'MATCH_DISTANCE_CENTRED_COSINE');
  });

  it('rejects other values of JavaScript callers, and those that every object has', () => {
    for (const value of ['L2', 'toString', '', null]) {
      assert.throws(() => protocolName('distance', matchDistances, value as 'l2'), {
        code: 'INVALID_ARGUMENT',
        message: `distance: ${value} is not one of l2, cosine, centredCosine`,
      });
    }
  });

  it('is asked by the requests, whose unknown values would become the default', () => {
    const image = { rgb: new Uint8Array(3), width: 1, height: 1 };
    const space = 'projector' as 'localProjector';
    assert.throws(
      () => featuresMessage(image, { space }),
      /^VicreglError: space: projector is not one of backbone, localProjector/,
    );
    assert.throws(() => featuresMessage(image, { dtype: 'fp16' as 'float16' }), /dtype: fp16 is not one of float32/);
    assert.throws(() => matchingMessage({ space }), /space: projector is not one of/);
    assert.throws(
      () => matchingMessage({ distance: 'L2' as 'l2' }),
      /distance: L2 is not one of l2, cosine, centredCosine/,
    );
    assert.deepEqual(matchingMessage({ distance: 'cosine' }), {
      byFeatures: { mutual: false, distance: 'MATCH_DISTANCE_COSINE' },
    });
  });
});
