import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { long } from '../support/longTests.js';
import { startServedProcess } from '../support/servedProcess.js';
import { withTinyModel } from '../support/tinyModel.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

const photos = fileURLToPath(new URL('../../../test/fixtures/photos', import.meta.url));
const quick = ['--seconds', '0.3', '--ramp', '0.1', '--max-windows', '3', '--images', photos];

interface Report {
  readonly loads: readonly {
    readonly load: { readonly kind: string };
    readonly imagesPerSecond: number;
    readonly requestsPerSecond: number;
    readonly codes: Readonly<Record<string, number>>;
    readonly latencyMs: Readonly<Record<string, number>>;
    readonly latenessMs?: object;
    readonly cpuMsPerImage: { readonly generator: number; readonly service?: number };
  }[];
  readonly raw: readonly { readonly sessions: number; readonly imagesPerSecond: number; readonly windows: number }[];
}

describe('vicregl bench', () => {
  let model: Awaited<ReturnType<typeof withTinyModel>>;
  before(async () => {
    model = await withTinyModel();
  });
  after(() => model.remove());

  test('starts a service and measures it and the raw session, in a closed and an open loop', long, async () => {
    const { code, stdout, stderr } = await vicregl(
      ...['bench', '--model', model.folder.dir, '--concurrency', '2', '--rate', '20', '--json', ...quick],
      ...['--', '--threads', '1'],
    );
    assert.equal(code, 0, stderr);
    const { loads, raw } = JSON.parse(stdout) as Report;
    assert.deepEqual(
      loads.map(({ load }) => load.kind),
      ['closed', 'open'],
    );
    for (const { imagesPerSecond, codes, latencyMs, cpuMsPerImage } of loads) {
      assert.ok(imagesPerSecond > 0);
      assert.deepEqual(Object.keys(codes), ['OK']);
      assert.ok(latencyMs['p50']! > 0 && latencyMs['p50']! <= latencyMs['p99']!);
      assert.ok(cpuMsPerImage.generator > 0);
    }
    assert.equal(loads[0]!.latenessMs, undefined);
    assert.ok(loads[1]!.latenessMs);
    assert.ok(raw.length > 0);
    for (const { imagesPerSecond, windows } of raw) assert.ok(imagesPerSecond > 0 && windows >= 6);
  });

  test('measures a running service, with two images per match', async () => {
    const served = await startServedProcess('--model', model.folder.dir, '--threads', '1');
    const { code, stdout, stderr } = await vicregl(
      ...['bench', '--address', served.address, '--method', 'Match', '--concurrency', '1', '--json', ...quick],
    );
    assert.equal(code, 0, stderr);
    const { loads, raw } = JSON.parse(stdout) as Report;
    assert.deepEqual(raw, []);
    assert.equal(loads[0]!.imagesPerSecond, 2 * loads[0]!.requestsPerSecond);
    served.child.kill('SIGTERM');
    await once(served.child, 'exit');
  });

  test('rejects flags that it would ignore', async () => {
    const { code, stderr } = await vicregl('bench', '--address', '127.0.0.1:1', '--model', model.folder.dir);
    assert.equal(code, 1);
    assert.match(stderr, /INVALID_ARGUMENT: --address measures a running service/);
  });
});
