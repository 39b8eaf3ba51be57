import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { matchFeatures, matchFeaturesBy } from '../../src/match/features.js';
import { matchLocations } from '../../src/match/locations.js';
import type { VectorPair } from '../../src/match/nearest.js';
import { openNearestSession, searchNearest } from '../../src/match/tiled/search.js';
import { readSafetensors } from '../../src/tensor/safetensors.js';
import type { Tensor } from '../../src/tensor/tensor.js';

/** Both searches of the service must return the matches of the authors' code, in its order (ascending source). */

const files = ['criterion_two_views', 'criterion_two_views_top_gamma', 'criterion_multicrop'];

const pairsOf = (matches: readonly { readonly source: number; readonly target: number }[]) =>
  matches.map(({ source, target }) => [source, target]);

/** Image `index` of a batched tensor. */
function imageOf(value: Tensor, index: number): Float32Array {
  const each = value.data.length / value.shape[0]!;
  return (value.data as Float32Array).subarray(index * each, (index + 1) * each);
}

const session = await openNearestSession(1);
const { signal } = new AbortController();
after(() => session.release());

for (const file of files) {
  describe(`matches of ${file}`, async () => {
    const { tensors } = await readSafetensors(`test/golden/${file}.safetensors`);
    const named = (name: string): Tensor => {
      const found = tensors.get(name);
      assert.ok(found, `${file} holds no ${name}`);
      return found;
    };
    const directions = [...tensors.keys()].flatMap((name) => {
      const parsed = /^match\.(feature|location)\.(\d+)to(\d+)\.source$/.exec(name);
      return parsed === null ? [] : [{ kind: parsed[1]!, from: parsed[2]!, to: parsed[3]! }];
    });
    assert.ok(directions.length >= 4, `${file} holds ${directions.length} lists of matches`);

    for (const { kind, from, to } of directions) {
      it(`${kind} ${from} to ${to}`, async () => {
        const prefix = `match.${kind}.${from}to${to}`;
        const sources = named(`${prefix}.source`);
        const targets = named(`${prefix}.target`).data as BigInt64Array;
        const distances = named(`${prefix}.distance`).data as Float32Array;
        const [batch, topGamma] = sources.shape as [number, number];
        const input = kind === 'feature' ? 'maps_embedding' : 'locations';
        const [a, b] = [named(`${input}.${from}`), named(`${input}.${to}`)];
        for (let image = 0; image < batch; image++) {
          const [dataA, dataB] = [imageOf(a, image), imageOf(b, image)];
          const map = (value: Tensor, data: Float32Array) => ({
            rows: 1,
            columns: value.shape[1]!,
            channels: value.shape[2]!,
            data,
          });
          const matches =
            kind === 'feature'
              ? matchFeatures(map(a, dataA), map(b, dataB), { topGamma, order: 'source' })
              : matchLocations(Float64Array.from(dataA), Float64Array.from(dataB), { topGamma, order: 'source' });
          if (kind === 'feature') {
            const [mapA, mapB] = [map(a, dataA), map(b, dataB)];
            const search = (pair: VectorPair) => searchNearest(session, pair, signal);
            const dense = await matchFeaturesBy(search, mapA, mapB, { topGamma, order: 'source' }, signal);
            assert.deepEqual(pairsOf(dense), pairsOf(matches), `image ${image} by the product`);
          }
          const at = image * topGamma;
          assert.deepEqual(
            pairsOf(matches),
            Array.from({ length: topGamma }, (_, g) => [
              Number((sources.data as BigInt64Array)[at + g]),
              Number(targets[at + g]),
            ]),
            `image ${image}`,
          );
          for (const [g, { distance }] of matches.entries()) {
            const expected = distances[at + g]!;
            assert.ok(
              Math.abs(distance - expected) <= 1e-4 * expected + 1e-4,
              `image ${image}: ${distance}, ${expected}`,
            );
          }
        }
      });
    }
  });
}
