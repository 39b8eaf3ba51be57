import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import { project } from '../../image/homography.js';
import type { RgbImage } from '../../image/types.js';
import { stream } from '../../tensor/random.js';
import { type PlanarView, pairsOfViews, viewOf } from './planarViews.js';

const size = { width: 320, height: 240 };
const discs = [
  { x: 120, y: 90, channel: 0 },
  { x: 210, y: 100, channel: 1 },
  { x: 150, y: 150, channel: 2 },
] as const;

/** A black picture with a disc in each channel. */
function picture(): RgbImage {
  const data = new Uint8Array(size.width * size.height * 3);
  for (const { x, y, channel } of discs) {
    for (let row = 0; row < size.height; row++) {
      for (let column = 0; column < size.width; column++) {
        if (Math.hypot(column + 0.5 - x, row + 0.5 - y) < 12) data[(row * size.width + column) * 3 + channel] = 255;
      }
    }
  }
  return { ...size, data };
}

/** Centre of what is bright in one channel alone; the canvas around the picture is grey in all. */
function centreOf({ width, height, data }: RgbImage, channel: number): [number, number] {
  let [sum, sx, sy] = [0, 0, 0];
  for (let i = 0; i < width * height; i++) {
    const pixel = data.subarray(i * 3, i * 3 + 3);
    const weight = pixel[channel]! - Math.max(pixel[(channel + 1) % 3]!, pixel[(channel + 2) % 3]!);
    if (weight <= 20) continue;
    sum += weight;
    sx += weight * ((i % width) + 0.5);
    sy += weight * (Math.floor(i / width) + 0.5);
  }
  return [sx / sum, sy / sum];
}

describe('a view of a photograph', () => {
  for (const [degrees, scale] of [
    [0, 1],
    [20, 1],
    [-35, 0.8],
    [90, 1],
    [10, 1.4],
    [0, 0.5],
  ] as const) {
    it(`shows every point where its homography says: ${degrees} degrees, scale ${scale}`, () => {
      const { image, toView } = viewOf(picture(), { kind: 'rotation', degrees, scale }, stream(1));
      for (const { x, y, channel } of discs) {
        const [u, v] = centreOf(image, channel);
        const expected = project(toView, { x, y });
        const distance = Math.hypot(u - expected.x, v - expected.y);
        assert.ok(distance < 0.1, `disc ${channel}: ${distance.toFixed(2)} px from (${expected.x}, ${expected.y})`);
      }
    });
  }

  it('without rotation and change of size keeps size and coordinates', () => {
    const { image, toView } = viewOf(picture(), { kind: 'rotation', degrees: 0, scale: 1 }, stream(1));
    assert.deepEqual([image.width, image.height], [320, 240]);
    assert.deepEqual(project(toView, { x: 7, y: 9 }), { x: 7, y: 9 });
  });

  it('by a quarter turn swaps width and height', () => {
    const { image } = viewOf(picture(), { kind: 'rotation', degrees: 90, scale: 1 }, stream(1));
    assert.deepEqual([image.width, image.height], [240, 320]);
  });

  it('in perspective has the size of the photograph, follows its seed, and shows points where its homography says', () => {
    const views = [1, 1, 2].map((seed) => viewOf(picture(), { kind: 'perspective' }, stream(seed)));
    assert.deepEqual(views[0]!.image, views[1]!.image);
    assert.notDeepEqual(views[0]!.toView, views[2]!.toView);
    for (const { image, toView } of views) {
      assert.deepEqual([image.width, image.height], [320, 240]);
      // All of it comes from the photograph: no grey corners.
      assert.deepEqual([...image.data.subarray(0, 3)], [0, 0, 0]);
      for (const { x, y, channel } of discs) {
        const [u, v] = centreOf(image, channel);
        const expected = project(toView, { x, y });
        // The centre of a disc in perspective is not exactly the image of its centre.
        assert.ok(Math.hypot(u - expected.x, v - expected.y) < 0.7, `disc ${channel}`);
      }
    }
  });

  it('is rejected if it would be too large', () => {
    const wide = { width: 5000, height: 4000, data: new Uint8Array(0) };
    assert.throws(() => viewOf(wide, { kind: 'rotation', degrees: 0, scale: 10 }, stream(1)), {
      name: 'ImageError',
      code: 'too_large',
      message: /the view 0x10 has 50000 x 40000 pixels/,
    });
  });

  it('of a photograph is drawn when it is asked for, and is that of its own random numbers', async () => {
    const { width, height, data } = picture();
    const png = await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer();
    let reads = 0;
    const rotated = {
      kind: 'rotation' as const,
      scale: 1,
      get degrees() {
        reads++;
        return 30;
      },
    };
    const views: PlanarView[] = [rotated, { kind: 'perspective' }, rotated];
    const pairs = pairsOfViews({ count: 1, nameOf: () => 'a.png', read: async () => png }, views, 5);
    const drawn = (await pairs.load(0))[Symbol.iterator]();
    const sized = reads;
    const first = drawn.next().value!;
    const perView = reads - sized;
    assert.ok(perView > 0);
    const second = drawn.next().value!;
    assert.equal(reads, sized + perView, 'the third view is not drawn yet');
    assert.deepEqual([first.name, second.name], ['a.png 30x1', 'a.png perspective 2']);
    assert.deepEqual(
      { image: second.b, toView: second.aToB },
      viewOf(second.a, { kind: 'perspective' }, stream(5, 'planarView', 0, 1)),
    );
    assert.equal(drawn.next().value!.name, 'a.png 30x1');
    assert.equal(drawn.next().done, true);
    await assert.rejects(
      pairsOfViews(
        { count: 1, nameOf: () => 'a.png', read: async () => png },
        [{ kind: 'rotation', degrees: 0, scale: 1e4 }],
        5,
      ).load(0),
      { code: 'too_large' },
    );
  });
});
