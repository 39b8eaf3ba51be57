import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tensor__Output } from '../../../proto/generated/vicregl/v1/Tensor.js';
import { readPca } from './pca.js';

const limits = { pcaComponents: 4 };
const channels = 3;

/** A float32 tensor in a request. @param onRead called when its bytes are read */
function floats(shape: number[], values: readonly number[], onRead: () => void = () => {}): Tensor__Output {
  const data = Buffer.from(Float32Array.from(values).buffer);
  return {
    dtype: 'DATA_TYPE_FLOAT32',
    shape,
    scales: Buffer.alloc(0),
    get data() {
      onRead();
      return data;
    },
  };
}

const basisOf = (mean: Tensor__Output, components: Tensor__Output) => ({ components: 0, basis: { mean, components } });

test('a basis is read, and its number of components is that of the request', () => {
  const pca = basisOf(floats([3], [1, 2, 3]), floats([2, 3], [1, 0, 0, 0, 1, 0]));
  const read = readPca(pca, limits, channels);
  assert.ok('basis' in read);
  assert.deepEqual([read.components, [...read.basis.mean.data], read.basis.components.shape], [2, [1, 2, 3], [2, 3]]);
  assert.deepEqual(readPca({ components: 3, basis: null }, limits, channels), { components: 3 });
  assert.throws(() => readPca({ components: 5, basis: null }, limits, channels), /5 must be 1 to 4 \(pcaComponents\)/);
  assert.throws(
    () => readPca(basisOf(floats([3], [1, 2, Number.NaN]), floats([1, 3], [1, 0, 0])), limits, channels),
    /^ServeError: pca\.basis\.mean: has elements that are not finite/,
  );
});

test('the elements of a basis whose sizes do not fit are not read', () => {
  const unread = (shape: number[]) => floats(shape, [], () => assert.fail(`${shape} was read`));
  const refused = (mean: number[], components: number[], expected: object, asked = 0) =>
    assert.throws(
      () => readPca({ ...basisOf(unread(mean), unread(components)), components: asked }, limits, channels),
      expected,
    );
  refused([3], [5, 3], { code: 'invalid_argument', message: /^pca\.components: 5 must be 1 to 4/ });
  refused([3], [2, 3], { message: /^pca\.components: 3 differs from the 2 components/ }, 3);
  refused([3], [2, 4], { message: /^pca\.basis: the mean has length 3 and the components 4/ });
  refused([1_000_000], [2, 1_000_000], {
    code: 'bad_components',
    message: /^the basis is for vectors of length 1000000, and these have 3/,
  });
  refused([3, 1], [2, 3], { message: /^pca\.basis\.mean: must be FLOAT32 \[C\]/ });
  refused([3], [6], { message: /^pca\.basis\.components: must be FLOAT32 \[k, C\]/ });
});
