import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clearWhiteBackground, compose, opaqueShare } from '../../scripts/data/compose.js';
import { stream } from '../../src/tensor/random.js';

/** RGBA of rows of characters: `.` white, `#` red. */
function drawn(...lines: readonly string[]) {
  const data = Uint8Array.from(
    [...lines.join('')].flatMap((character) => (character === '.' ? [255, 255, 255, 255] : [200, 0, 0, 255])),
  );
  return { width: lines[0]!.length, height: lines.length, data };
}
const opacity = ({ data }: { readonly data: Uint8Array }) =>
  [...data].filter((_, i) => i % 4 === 3).map((a) => (a ? 1 : 0));

describe('composites', () => {
  it('clear white that is connected to the border, and keep white inside the object', () => {
    const object = drawn('.....', '.###.', '.#.#.', '.###.', '.....');
    clearWhiteBackground(object);
    assert.deepEqual(opacity(object), [0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
    assert.equal(opaqueShare(object), 9 / 25);
  });

  it('label exactly the pixels that an opaque object covers, and keep the rest of the background', async () => {
    const size = 40;
    const background = new Uint8Array(size * size * 3).fill(10);
    for (let seed = 1; seed <= 20; seed++) {
      const objects = [{ object: drawn('####', '####'), label: 7 }];
      const { image, mask } = await compose(stream(seed, 'test'), background, size, objects);
      let covered = 0;
      const rows = new Set<number>();
      let [left, right] = [size, 0];
      for (let pixel = 0; pixel < size * size; pixel++) {
        const red = image[pixel * 3]!;
        assert.deepEqual(red, mask[pixel] === 7 ? 200 : 10, `pixel ${pixel}`);
        if (mask[pixel] !== 7) continue;
        covered++;
        rows.add(Math.floor(pixel / size));
        [left, right] = [Math.min(left, pixel % size), Math.max(right, pixel % size)];
      }
      const width = right - left + 1;
      assert.ok(width >= 0.35 * size - 1 && width <= 0.8 * size + 1, `${width}`);
      assert.equal(covered, width * rows.size, 'the whole object is inside the canvas');
      assert.ok(Math.abs(rows.size - width / 2) <= 1, `${width} x ${rows.size}: the aspect is kept`);
    }
  });
});
