import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyManifest } from '../../../../test/support/tinyModel.js';
import { createFakeEngine } from '../../../engine/fakeEngine.js';
import { requestedMaps } from './model.js';

const outputs = {
  ...tinyManifest.outputs,
  stage1: { graph: 'backbone' as const, shape: ['N', 'H', 'W', 8], stride: 8 },
  stage2: { graph: 'backbone' as const, shape: ['N', 'H', 'W', 16], stride: 16 },
};
const engine = createFakeEngine({ manifest: { ...tinyManifest, outputs, files: {} } });
const maps = (stages: number[]) => requestedMaps(engine, { stages, space: 'LOCAL_SPACE_UNSPECIFIED' });

test('stages are answered in the order of the request; a wrong list is named', () => {
  assert.deepEqual(
    maps([2, 0, 1]).map(({ output }) => output),
    ['stage2', 'maps', 'stage1'],
  );
  assert.deepEqual(
    maps([]).map(({ output }) => output),
    ['maps'],
  );
  assert.throws(() => maps([1, 2, 1]), { code: 'invalid_argument', message: /^stages: 1 is listed twice/ });
  assert.throws(() => maps([1, 7]), { code: 'missing_head', message: /no map of stage 7; it has 1, 2, and 0/ });
});

test('a list that is longer than that of any model is refused by its length, whatever it contains', () => {
  let reads = 0;
  const counted = (stages: number[]) =>
    new Proxy(stages, {
      get(target, key) {
        if (key !== 'length') reads++;
        return Reflect.get(target, key);
      },
    });
  for (const length of [65, 200_000]) {
    for (const stages of [Array.from({ length }, (_, i) => i), new Array<number>(length).fill(1)]) {
      assert.throws(() => maps(counted(stages)), {
        code: 'invalid_argument',
        message: `stages: ${length} elements, over the limit of 64; list each stage once`,
      });
    }
  }
  assert.equal(reads, 0);
});
