import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { type Client, createClient, VicreglError } from '../../src/client/index.js';
import { decodeImage } from '../../src/image/decode.js';
import { prepareImage } from '../../src/image/resize.js';
import { openModelFolder } from '../../src/models/folder.js';
import { createSession, runSession } from '../../src/onnx/session.js';
import { type ServedProcess, startServedProcess } from '../support/servedProcess.js';
import { checkHealth, listServices } from './grpcProbe.js';

/** The result of `npm start`: the built service with the bundled model, and real photographs. */

const photo = (name: string) => readFile(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));
const MAX_BYTES = 12_000_000;

describe('the service with the bundled model', () => {
  let served: ServedProcess;
  let client: Client;

  before(async () => {
    served = await startServedProcess();
    client = createClient({ address: served.address, deadlineMs: 60_000 });
    await client.waitForReady();
  });
  after(() => client.close());

  test('is healthy, supports reflection and reports the served model', async () => {
    assert.equal(await checkHealth(served.address, ''), 'SERVING');
    const services = await listServices(served.address);
    assert.ok(services.includes('vicregl.v1.VicreglService'), services.join());
    const model = await client.model();
    assert.equal(model.architecture, 'resnet_basic');
    assert.deepEqual(model.dimensions, { backbone: 256, localProjector: 256 });
  });

  test('Embed returns the same representation as running the graph directly', async () => {
    const image = await photo('astronaut.jpg');
    const { vector } = await client.embed(image);
    const folder = await openModelFolder(bundledModelFolder);
    const { image: input } = await prepareImage(
      await decodeImage(image),
      { kind: 'shortestSide', resize: 256, crop: 224 },
      16,
    );
    const session = await createSession(folder.graphPath('backbone')!, { threads: 1 });
    const outputs = await runSession(session, {
      images: { dtype: 'uint8', shape: [1, 224, 224, 3], data: input.data },
    });
    await session.release();
    const direct = outputs.get('representation')!.data as Float32Array;
    const difference = Math.hypot(...vector.map((value, i) => value - direct[i]!));
    assert.ok(difference <= 1e-5 * Math.hypot(...direct), `difference ${difference}`);
    // Different photographs have different embeddings: the model has not collapsed.
    const other = (await client.embed(await photo('coffee.jpg'))).vector;
    const cosine =
      vector.reduce((sum, value, i) => sum + value * other[i]!, 0) / (Math.hypot(...vector) * Math.hypot(...other));
    assert.ok(cosine < 0.98, `cosine ${cosine}`);
  });

  test('ExtractFeatures maps its cells to pixels of the original photograph', async () => {
    const { shape, grid, data } = await client.features(await photo('chelsea.png'), {
      space: 'localProjector',
      l2Normalize: true,
    });
    assert.deepEqual(shape, [14, 14, 256]);
    assert.ok(Math.abs(Math.hypot(...data.subarray(0, 256)) - 1) < 1e-5);
    // 226 x 150 pixels: the shortest side is resized to 256, then the central 224 pixels are cropped.
    assert.deepEqual(grid.original, { width: 226, height: 150 });
    assert.ok(Math.abs(grid.cellToPixel.scaleY - (150 / 256) * 16) < 1e-9);
    assert.ok(Math.abs(grid.cellToPixel.offsetY - (150 / 256) * 16) < 1e-9);
  });

  test('Match finds the same places in another, horizontally flipped crop of the photograph', async () => {
    const pixels = await photo('astronaut.jpg');
    const a = { pixels, crop: { top: 0, left: 60, height: 300, width: 300 } };
    const b = { pixels, crop: { top: 20, left: 90, height: 300, width: 300, flip: true } };
    const { pairs } = await client.match(a, b, { by: 'features', topGamma: 20 });
    assert.equal(pairs.length, 20);
    const cell = 300 / 7;
    const near = pairs.filter(
      (pair) => Math.abs(pair.a.x - pair.b.x) <= 1.5 * cell && Math.abs(pair.a.y - pair.b.y) <= 1.5 * cell,
    );
    // About one random target in five would be as near.
    assert.ok(near.length >= 10, `${near.length} of 20 pairs are near`);

    const located = await client.match(a, b, { by: 'location', topGamma: 5 });
    for (const pair of located.pairs) assert.ok(Math.hypot(pair.a.x - pair.b.x, pair.a.y - pair.b.y) <= cell);
  });

  test('a bad image is INVALID_ARGUMENT with the reason, and the next request works', async () => {
    await assert.rejects(
      client.embed(Buffer.from('not a photograph')),
      (error: unknown) =>
        error instanceof VicreglError &&
        error.code === 'INVALID_ARGUMENT' &&
        /image is text, which is not supported/.test(error.message),
    );
    assert.equal((await client.embed(await photo('coffee.jpg'))).vector.length, 256);
  });

  test('the example of the README prints the quoted output', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['examples/client.mjs', served.address]);
    assert.match(
      stdout,
      /^256 .*\n14x14x256 50176 \{ x: 240, y: 48 \}\n(\d+ \d+ \d+ \d+ \d\.\d{3}\n){3}vicregl-resnet18-half /,
    );
  });

  test('/metrics counts the calls', async () => {
    const text = await (await fetch(`http://${served.metricsAddress}/metrics`)).text();
    assert.match(text, /^vicregl_requests_total\{method="Embed",code="OK"\} 4$/m);
    assert.match(text, /^vicregl_requests_total\{method="Embed",code="INVALID_ARGUMENT"\} 1$/m);
    assert.match(text, /^vicregl_requests_total\{method="Match",code="OK"\} 3$/m);
  });

  test('its graphs are small enough to bundle', async () => {
    const { manifest } = await openModelFolder(bundledModelFolder);
    const sizes = await Promise.all(Object.keys(manifest.files).map((name) => stat(`${bundledModelFolder}/${name}`)));
    const total = sizes.reduce((sum, { size }) => sum + size, 0);
    assert.ok(total < MAX_BYTES, `${total} bytes`);
    assert.equal(manifest.precision, 'float16');
  });

  test('it exits with code 0 on SIGTERM', async () => {
    const exited = once(served.child, 'exit');
    served.child.kill('SIGTERM');
    assert.deepEqual(await exited, [0, null]);
  });
});
