import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rename, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Client, createClient } from '../../src/client/index.js';
import { writeModelFolder } from '../../src/models/folder.js';
import { long } from '../support/longTests.js';
import { type ServedProcess, startServedProcess } from '../support/servedProcess.js';
import { tinyManifest, tinyModelFiles } from '../support/tinyModel.js';
import { until } from '../support/until.js';
import { untilMetric } from '../support/untilMetric.js';

/** Models that change in the models directory of a running service, under load. */

let root: string;
let models: string;
let served: ServedProcess;
let client: Client;

const image = { width: 56, height: 56, rgb: new Uint8Array(56 * 56 * 3).fill(7) };

/** Writes a version beside the models directory. @returns its folder */
async function write(version: string): Promise<string> {
  const dir = join(root, `written-${version}`);
  await writeModelFolder(dir, { ...tinyManifest, version }, tinyModelFiles(Number(version)));
  return dir;
}

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-models-'));
  models = join(root, 'models');
  await mkdir(join(models, 'tiny'), { recursive: true });
  await rename(await write('1'), join(models, 'tiny', '1'));
  served = await startServedProcess('--model-dir', models, '--model-dir-poll-seconds', '1', '--decode-processes', '0');
  // Without retries, every failed request is seen.
  client = createClient({ address: served.address, retries: false });
});
after(async () => {
  await client?.close();
  served?.child.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

const inUse = async (): Promise<string> => (await client.model()).version;

test('versions come, break and go while requests run, and no request fails', long, async () => {
  let over = false;
  const seen = new Set<string>();
  const callers = Array.from({ length: 2 }, async () => {
    while (!over) seen.add((await client.embed(image)).model.version);
  });
  const failed = Promise.all(callers);
  failed.catch(() => {});

  // Copied under a hidden name, then renamed.
  await cp(await write('2'), join(models, 'tiny', '.2'), { recursive: true });
  await rename(join(models, 'tiny', '.2'), join(models, 'tiny', '2'));
  await until(async () => (await inUse()) === '2', 20);

  const broken = await write('3');
  await truncate(join(broken, 'backbone.onnx'), 100);
  await rename(broken, join(models, 'tiny', '3'));
  await untilMetric(served.metricsAddress, /^vicregl_model_dir_refused\{name="tiny",version="3"\} 1$/m);
  await untilMetric(served.metricsAddress, /^vicregl_model_dir_refusals_total 1$/m);
  assert.equal(await inUse(), '2');
  const reload = await fetch(`http://${served.adminAddress}/reload`, { method: 'POST' });
  assert.equal(reload.status, 500);
  assert.match(await reload.text(), /tiny\/3: .*backbone\.onnx/s);

  await rename(models, `${models}.away`);
  await untilMetric(served.metricsAddress, /^vicregl_model_dir_readable 0$/m);
  assert.equal(await inUse(), '2');
  await rename(`${models}.away`, models);
  await untilMetric(served.metricsAddress, /^vicregl_model_dir_readable 1$/m);

  // Mended in place, file by file.
  await rm(join(models, 'tiny', '3'), { recursive: true });
  await cp(await write('3'), join(models, 'tiny', '3'), { recursive: true });
  await until(async () => (await inUse()) === '3', 20);
  await untilMetric(served.metricsAddress, /^vicregl_model_info\{name="tiny",version="3".*\} 1$/m);

  over = true;
  await failed;
  assert.deepEqual([...seen].sort(), ['1', '2', '3']);
});
