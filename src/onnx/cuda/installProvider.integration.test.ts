import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createAuthority } from '../../../test/support/certificates.js';
import { sharedLibrary } from '../../../test/support/sharedLibrary.js';
import { storedZip } from '../../../test/support/storedZip.js';
import { installProvider } from './installProvider.js';
import { CUDA_PLATFORM, PROVIDER_FILES, providerFolder, runtimePackage } from './provider.js';

const skip = `${process.platform}-${process.arch}` === CUDA_PLATFORM ? false : `CUDA is for ${CUDA_PLATFORM} alone`;

/** Runs onnxruntime-node's own script with a server of this test as its feed. */
describe('the installation of the CUDA provider', { skip }, () => {
  const variables = ['NODE_EXTRA_CA_CERTS', 'ONNXRUNTIME_NODE_INSTALL', 'npm_config_local_prefix', 'npm_package_json'];
  const before = variables.map((name) => process.env[name]);
  const library = sharedLibrary(['libcudart.so.13', 'libc.so.6']);
  let scratch: string;
  let runtime: string;
  let server: Server;
  let requests: string[];
  /** The package of the feed, and the number of its bytes that are sent before the connection closes. */
  let sent: { archive: Uint8Array; until?: number } | undefined;

  const archive = (provider: Uint8Array) =>
    storedZip(
      ['cuda', 'shared', 'tensorrt'].map((name) => ({
        name: `runtimes/linux-x64/native/libonnxruntime_providers_${name}.so`,
        data: name === 'cuda' ? provider : library,
      })),
    );

  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-provider-'));
    runtime = join(scratch, 'node_modules/onnxruntime-node');
    await mkdir(providerFolder(runtime), { recursive: true });
    await cp(join(runtimePackage(), 'script'), join(runtime, 'script'), { recursive: true });
    const modules = dirname(runtimePackage());
    for (const name of await readdir(modules)) {
      if (name !== 'onnxruntime-node') await symlink(join(modules, name), join(scratch, 'node_modules', name));
    }

    requests = [];
    sent = { archive: archive(library) };
    const authority = createAuthority('feed');
    server = createServer(authority.sign('localhost'), (request, response) => {
      const url = request.url!;
      requests.push(url);
      const json = (body: unknown): void => {
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      };
      const { port } = server.address() as AddressInfo;
      const base = { '@id': `https://localhost:${port}/flat/`, '@type': 'PackageBaseAddress/3.0.0' };
      if (url === '/index.json') json({ resources: [base] });
      else if (url.endsWith('/index.json')) json({ versions: ['1.28.0', '1.29.0'] });
      else if (sent === undefined) response.writeHead(503).end();
      else if (sent.until === undefined) response.end(sent.archive);
      else {
        response.writeHead(200, { 'content-length': sent.archive.length });
        response.write(sent.archive.subarray(0, sent.until), () => response.destroy());
      }
    }).listen(0, 'localhost');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const metadata = join(runtime, 'script/install-metadata.js');
    const text = await readFile(metadata, 'utf8');
    assert.ok(text.includes('https://api.nuget.org/v3/index.json'));
    await writeFile(metadata, text.replace('https://api.nuget.org/v3/', `https://localhost:${port}/`));

    await writeFile(join(scratch, 'authority.pem'), authority.cert);
    process.env['NODE_EXTRA_CA_CERTS'] = join(scratch, 'authority.pem');
    // the environment of `npm run` in a project that was installed without CUDA: each of these variables disables the script
    process.env['ONNXRUNTIME_NODE_INSTALL'] = 'skip';
    process.env['npm_config_local_prefix'] = scratch;
    process.env['npm_package_json'] = join(scratch, 'package.json');
  });
  afterEach(async () => {
    for (const [i, name] of variables.entries()) {
      if (before[i] === undefined) delete process.env[name];
      else process.env[name] = before[i];
    }
    server.closeAllConnections();
    server.close();
    await rm(scratch, { recursive: true });
  });

  test('downloads the version of the package next to the library; a second run downloads nothing', async () => {
    const folder = providerFolder(runtime);
    assert.deepEqual(await installProvider({ runtime }), { folder, fetched: true });
    assert.deepEqual(requests.slice(1), [
      '/flat/microsoft.ml.onnxruntime.gpu.linux/index.json',
      '/flat/microsoft.ml.onnxruntime.gpu.linux/1.29.0/microsoft.ml.onnxruntime.gpu.linux.1.29.0.nupkg',
    ]);
    for (const file of PROVIDER_FILES) assert.deepEqual(await readFile(join(folder, file)), library);
    assert.deepEqual(await installProvider({ runtime }), { folder, fetched: false });
    assert.equal(requests.length, 3);
  });

  test('downloads again after an interrupted copy', async () => {
    const [provider, shared] = PROVIDER_FILES.map((file) => join(providerFolder(runtime), file));
    await writeFile(provider!, library.subarray(0, 200));
    await writeFile(shared!, library);
    assert.equal((await installProvider({ runtime })).fetched, true);
    assert.deepEqual(await readFile(provider!), library);
  });

  for (const [what, feed, message] of [
    ['the feed does not give it', undefined, /install script: exit code 1; .* are not there\)/],
    [
      'the connection breaks, which the script takes for its end',
      { archive: archive(library), until: 300 },
      /are not there\)/,
    ],
    [
      'what comes is not whole',
      { archive: archive(library.subarray(0, 200)) },
      /libonnxruntime_providers_cuda\.so is cut off/,
    ],
  ] as const) {
    test(`fails if ${what}, and names the source and the destination`, async () => {
      sent = feed;
      await assert.rejects(installProvider({ runtime }), (error: Error) => {
        assert.match(error.message, message);
        assert.ok(error.message.startsWith(`the CUDA provider was not installed in ${providerFolder(runtime)} (`));
        assert.match(
          error.message,
          /api\.nuget\.org .*TMPDIR.*GLOBAL_AGENT_HTTPS_PROXY.* copy libonnxruntime_providers_cuda\.so and/,
        );
        return true;
      });
      assert.ok(requests.length >= 3);
    });
  }
});

test('fails on platforms that have no provider', async () => {
  await assert.rejects(installProvider({ platform: 'darwin-arm64' }), {
    message: "ONNX Runtime's CUDA provider exists for linux-x64 alone; this is darwin-arm64, which has the CPU",
  });
});
