import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { treePids } from '../../src/bench/processCpu.js';
import { createClient } from '../../src/client/index.js';
import { failsWith } from '../support/failsWith.js';
import { type ServedProcess, startServedProcess } from '../support/servedProcess.js';
import { withTinyModel } from '../support/tinyModel.js';

/** Images and crops of extreme shapes: the answers must be correct, and the cost must depend only on the pixels that are used. */

const fixture = (name: string) => readFile(new URL(`../../../test/fixtures/${name}`, import.meta.url));

/** Peak resident memory in MB of a process and its children. */
async function peakMb(pid: number): Promise<number> {
  const peaks = (await treePids(pid)).map(async (one) =>
    Number(/^VmHWM:\s+(\d+) kB/m.exec(await readFile(`/proc/${one}/status`, 'utf8').catch(() => ''))?.[1] ?? 0),
  );
  return Math.max(...(await Promise.all(peaks))) / 1000;
}

/** Raw RGB pixels of one row, all with the same colour. */
function rows(colours: readonly (readonly number[])[], width: number): Uint8Array {
  return Uint8Array.from(colours.flatMap((colour) => Array.from({ length: width }, () => colour).flat()));
}

/** Value of a column of pixels, interpolated by Catmull-Rom at a position between pixel centres. */
function between(column: Uint8Array, position: number): number[] {
  const [base, last] = [Math.floor(position), column.length / 3 - 1];
  const t = position - base;
  const weights = [
    -0.5 * t + t ** 2 - 0.5 * t ** 3,
    1 - 2.5 * t ** 2 + 1.5 * t ** 3,
    0.5 * t + 2 * t ** 2 - 1.5 * t ** 3,
    -0.5 * t ** 2 + 0.5 * t ** 3,
  ];
  return [0, 1, 2].map((c) => {
    const taps = weights.map((weight, tap) => weight * column[Math.min(Math.max(base - 1 + tap, 0), last) * 3 + c]!);
    return Math.min(255, Math.max(0, Math.round(taps.reduce((sum, value) => sum + value))));
  });
}

function nearly(a: Float32Array, b: Float32Array): void {
  const apart = Math.hypot(...a.map((value, i) => value - b[i]!)) / Math.hypot(...b);
  assert.ok(apart < 1e-3, `${apart} apart`);
}

describe('extreme shapes', () => {
  let model: Awaited<ReturnType<typeof withTinyModel>>;
  let served: ServedProcess;
  let client: ReturnType<typeof createClient>;
  before(async () => {
    model = await withTinyModel();
    served = await startServedProcess('--model', model.folder.dir, '--threads', '1');
    // A usual deadline: the answers take milliseconds, but once took minutes.
    client = createClient({ address: served.address, deadlineMs: 20_000 });
    await client.waitForReady();
  });
  after(async () => {
    await client.close();
    served.child.kill('SIGKILL');
    await model.remove();
  });

  const square = (rgb: Uint8Array) =>
    client.embed({ pixels: { width: 224, height: 224, rgb }, resize: { kind: 'fit', width: 224, height: 224 } });

  test('one pixel enlarged to 8192 and to the maximum uint32 side has the colour of that pixel', async () => {
    const pixels = await fixture('shapes/1x1.png');
    const { vector } = await square(new Uint8Array(224 * 224 * 3).fill(90));
    for (const resize of [4096, 8192, 2 ** 32 - 1]) {
      const answer = await client.embed({ pixels, resize: { kind: 'shortestSide', resize, crop: 224 } });
      assert.deepEqual(answer.vector, vector);
    }
  });

  test('of a column of a thousand pixels, the middle is used, enlarged 256 times', async () => {
    const pixels = await fixture('shapes/1x1000.png');
    const column = await sharp(pixels).removeAlpha().raw().toBuffer();
    // Rows of the central square of 256 x 256000.
    const colours = Array.from({ length: 224 }, (_, row) =>
      between(column, ((256_000 - 224) / 2 + row + 0.5) / 256 - 0.5),
    );
    const { vector } = await square(rows(colours, 224));
    nearly((await client.embed({ pixels, resize: { kind: 'shortestSide', resize: 256, crop: 224 } })).vector, vector);
    // The default sizes of the model.
    assert.equal((await client.embed(pixels)).vector.length, vector.length);
  });

  test('a crop of one pixel of a photograph, enlarged to 8192, has the colour of that pixel', async () => {
    const pixels = await fixture('photos/coffee.jpg');
    const [left, top] = [300, 200];
    const pixel = await sharp(pixels).extract({ left, top, width: 1, height: 1 }).raw().toBuffer();
    const { vector } = await square(rows(Array(224).fill([...pixel]), 224));
    for (const flip of [false, true]) {
      const crop = { left, top, width: 1, height: 1, flip };
      const resize = { kind: 'shortestSide', resize: 8192, crop: 224 } as const;
      nearly((await client.embed({ pixels, crop, resize })).vector, vector);
    }
  });

  test('no process uses more memory than such images need', async () => {
    const peak = await peakMb(served.child.pid!);
    assert.ok(peak < 400, `${peak} MB`);
  });

  test('an image over pipelinePixels is rejected with the name of the limit', async (t) => {
    const small = await startServedProcess(
      '--model',
      model.folder.dir,
      '--threads',
      '1',
      '--pipeline-pixels',
      '200000',
    );
    t.after(() => small.child.kill('SIGKILL'));
    const other = createClient({ address: small.address, deadlineMs: 20_000 });
    t.after(() => other.close());
    await assert.rejects(
      other.embed(await fixture('photos/coffee.jpg')),
      failsWith('INVALID_ARGUMENT', /^image: .* would write \d+ pixels .*200000 \(pipelinePixels\)/, 'IMAGE_TOO_LARGE'),
    );
    assert.ok((await other.embed(await fixture('photos/chelsea.png'))).vector.length > 0);
  });
});
