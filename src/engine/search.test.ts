import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InferenceSession } from '../onnx/runtime.js';
import { createSearch, pairTensors, readNearest, smallPair } from './search.js';

test('a search whose session cannot be opened fails, and the next one opens it', async (t) => {
  const { signal } = new AbortController();
  const search = createSearch(1);
  const create = t.mock.method(InferenceSession, 'create');
  create.mock.mockImplementationOnce(async () => {
    throw new Error('no thread could be started');
  });
  await assert.rejects(search.search(pairTensors(smallPair), signal), /no thread/);
  const found = readNearest(await search.search(pairTensors(smallPair), signal));
  assert.deepEqual([...found.fromA.index], [1, 0]);
  await search.close();
});
