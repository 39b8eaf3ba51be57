import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { createLogger } from '../../src/serve/operations/logger.js';
import { createServer, type RunningServer } from '../../src/serve/server.js';
import { tinyManifest, withTinyModel } from '../support/tinyModel.js';
import { vicreglInHost } from '../support/vicregl.js';

/** `vicregl doctor` on this machine: what it finds, its exit code, and its two forms. */

interface Report {
  readonly result: string;
  readonly findings: readonly { check: string; severity: string; found: string; advice?: string }[];
}

describe('vicregl doctor', () => {
  let scratch: string;
  let model: Awaited<ReturnType<typeof withTinyModel>>;
  let server: RunningServer;
  /** A configuration with free ports. */
  let free: string;

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-doctor-'));
    model = await withTinyModel();
    server = await createServer({
      models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} } }) }],
      ...{ address: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', logger: createLogger('silent') },
    });
    free = join(scratch, 'free.yaml');
    const off = 'httpAddress: off\nmetricsAddress: off\nadminAddress: off\n';
    await writeFile(
      free,
      `address: 127.0.0.1:0\n${off}model: [${model.folder.dir}]\ndevice: cpu\nqueueBytes: 268435456\n`,
    );
  });
  after(async () => {
    await server.close();
    await model.remove();
    await rm(scratch, { recursive: true });
  });

  const report = async (...flags: string[]): Promise<Report & { code: number }> => {
    const { code, stdout } = await vicreglInHost('doctor', '--json', ...flags);
    return { code, ...(JSON.parse(stdout) as Report) };
  };

  test('finds nothing to mend here, and exits with 0; people get a line for each check', async () => {
    const { code, result, findings } = await report('--config', free);
    assert.equal(code, 0);
    assert.notEqual(result, 'error');
    assert.deepEqual(
      [...new Set(findings.map(({ check }) => check))],
      ['node', 'onnxruntime', 'sharp', 'files', 'device', 'memory', 'ports', 'security', 'models'],
    );
    const found = (check: string) => findings.find((finding) => finding.check === check)!;
    assert.match(found('node').found, new RegExp(process.version));
    assert.match(found('onnxruntime').found, /^ONNX Runtime \d+\.\d+\.\d+ \(cpu/);
    assert.match(found('sharp').found, /: jpeg, png, webp, gif, tiff, avif$/);
    assert.match(found('models').found, /^tiny@1: \d+ files/);
    const { stdout } = await vicreglInHost('doctor', '--config', free);
    for (const { check } of findings) assert.match(stdout, new RegExp(`^(ok|warning) +${check} `, 'm'));
  });

  test('exits with 1 for a damaged model, and says what to do', async () => {
    const damaged = await withTinyModel();
    await writeFile(join(damaged.folder.dir, Object.keys(damaged.folder.manifest.files)[0]!), 'damaged');
    const { code, result, findings } = await report('--config', free, '--model', damaged.folder.dir);
    const { code: ofText, stdout } = await vicreglInHost('doctor', '--config', free, '--model', damaged.folder.dir);
    await damaged.remove();
    assert.deepEqual([code, ofText, result], [1, 1, 'error']);
    assert.match(findings.find(({ check }) => check === 'models')!.advice ?? '', /is damaged/);
    assert.match(stdout, /^ERROR +models .*cannot be served$/m);
    assert.match(stdout, /^models: .*cannot be served\n {2}model folder .* is damaged/m);
  });

  test('the newest versions of a models directory are checked, and a directory that is not there is an error', async () => {
    const dir = join(scratch, 'models');
    await mkdir(join(dir, 'tiny'), { recursive: true });
    await symlink(model.folder.dir, join(dir, 'tiny', '1'));
    const config = join(scratch, 'dir.yaml');
    const off = 'httpAddress: off\nmetricsAddress: off\nadminAddress: off\n';
    await writeFile(config, `address: 127.0.0.1:0\n${off}modelDir: ${dir}\ndevice: cuda:0,1\n`);
    const models = async () => (await report('--config', config)).findings.filter(({ check }) => check === 'models');
    assert.deepEqual(
      (await models()).map(({ severity, found }) => [severity, found.startsWith('tiny@1: ')]),
      [['ok', true]],
    );
    await rm(dir, { recursive: true });
    assert.deepEqual(
      (await models()).map(({ severity, found }) => [severity, found]),
      [['error', `${dir} has no model that can be served`]],
    );
    await mkdir(dir);
    assert.deepEqual(
      (await models()).map(({ severity, found }) => [severity, found]),
      [['error', `${dir} has no model that can be served`]],
    );
  });

  test('a taken port is a warning where a service answers, else an error', async () => {
    const busy = join(scratch, 'busy.yaml');
    const write = (address: string, metricsAddress: string) =>
      writeFile(
        busy,
        `address: ${address}\nmetricsAddress: ${metricsAddress}\nhttpAddress: off\nadminAddress: off\nmodel: [${model.folder.dir}]\n`,
      );
    await write(server.address, server.metricsAddress);
    const beside = await report('--config', busy, '--device', 'cpu');
    const ports = beside.findings.filter(({ check }) => check === 'ports');
    assert.deepEqual([beside.code, ...ports.map(({ severity }) => severity)], [0, 'warning', 'warning']);
    await write(server.metricsAddress, 'off');
    const taken = await report('--config', busy, '--device', 'cpu');
    const [finding] = taken.findings.filter(({ check }) => check === 'ports');
    assert.deepEqual([taken.code, finding!.severity], [1, 'error']);
    assert.match(finding!.found, /EADDRINUSE/);
  });

  test('files of TLS and tokens with which the service does not start are errors', async () => {
    const config = join(scratch, 'security.yaml');
    const off = 'httpAddress: off\nmetricsAddress: off\nadminAddress: off\n';
    const files = `tlsCert: ${scratch}/none.crt\ntlsKey: ${scratch}/none.key\ntokensFile: ${scratch}/none.yaml\n`;
    await writeFile(config, `address: 127.0.0.1:0\n${off}${files}model: [${model.folder.dir}]\ndevice: cpu\n`);
    const { code, findings } = await report('--config', config);
    const security = findings.filter(({ check }) => check === 'security');
    assert.deepEqual([code, ...security.map(({ severity }) => severity)], [1, 'error', 'error']);
    assert.match(security[0]!.advice!, /^tlsCert: .*none\.crt cannot be read/);
    assert.match(security[1]!.advice!, /^tokensFile .*none\.yaml cannot be read/);
  });

  test('a configuration that cannot be read is a finding, and what does not need it is still checked', async () => {
    const wrong = join(scratch, 'wrong.yaml');
    await writeFile(wrong, 'adress: 127.0.0.1:1\n');
    const { code, findings } = await report('--config', wrong);
    assert.equal(code, 1);
    assert.deepEqual(
      findings.map(({ check }) => check),
      ['node', 'onnxruntime', 'sharp', 'files', 'configuration'],
    );
    assert.match(findings.at(-1)!.found, /adress/);
  });
});
