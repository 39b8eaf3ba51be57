import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { withTinyModel } from '../../test/support/tinyModel.js';
import { CUDA_LIBRARIES } from '../onnx/cuda/libraries.js';
import { checkDevice, type DeviceFacts } from './checkDevice.js';
import { checkFileLimit } from './checkFileLimit.js';
import { checkImages } from './checkImages.js';
import { checkMemory, type MemoryFacts } from './checkMemory.js';
import { checkModels } from './checkModels.js';
import { checkNode } from './checkNode.js';
import { checkPorts } from './checkPorts.js';
import { checkRuntime } from './checkRuntime.js';
import { checkSecurity } from './checkSecurity.js';
import { type Finding, worst } from './finding.js';

/** Every finding of every check: its severity, what it names, and that whatever is not ok says what to do. */

const GiB = 2 ** 30;

function assertFinding(
  finding: Finding | undefined,
  severity: Finding['severity'],
  found: RegExp,
  advice?: RegExp,
): void {
  assert.ok(finding);
  assert.equal(finding.severity, severity, finding.found);
  assert.match(finding.found, found);
  if (advice === undefined) assert.equal(finding.advice, undefined);
  else assert.match(finding.advice ?? '', advice);
}

test('a Node outside the range of package.json is an error', () => {
  const range = '^20.19.0 || >=22.12.0';
  for (const version of ['v20.19.0', 'v20.20.1', 'v22.12.0', 'v100.0.0']) {
    assertFinding(checkNode(version, range, 'linux-x64'), 'ok', /^Node v\d/);
  }
  for (const version of ['v20.9.0', 'v20.18.3', 'v21.7.3', 'v22.11.0', 'v18.20.4', 'v9.0.0']) {
    assertFinding(checkNode(version, range, 'linux-x64'), 'error', />=22\.12\.0 is needed/, /Install another Node/);
  }
});

test('ONNX Runtime of another version is a warning, one that does not load an error', async () => {
  const runtime = (version: string | undefined) => async () => ({ version, providers: ['cpu'] });
  assertFinding(await checkRuntime(runtime('1.29.0'), '1.29.0'), 'ok', /^ONNX Runtime 1\.29\.0 \(cpu\)$/);
  assertFinding(await checkRuntime(runtime('1.20.0'), '1.29.0'), 'warning', /1\.20\.0.*1\.29\.0/, /set it to 1\.29\.0/);
  const broken = () => Promise.reject(new Error('libc.musl-x86_64.so.1: cannot open shared object file\nmore'));
  assertFinding(await checkRuntime(broken, '1.29.0'), 'error', /cannot open shared object file$/, /not Alpine/);
});

const facts: DeviceFacts = {
  device: 'auto',
  platform: 'linux-x64',
  cudaPlatform: 'linux-x64',
  hasDriver: true,
  missingProvider: [],
  checkLibraries: async () => ({ libraries: [], problems: [] }),
};

test('a machine without a GPU is fine unless CUDA is configured', async () => {
  const one = async (changed: Partial<DeviceFacts>) => (await checkDevice({ ...facts, ...changed }))[0];
  assertFinding(await one({ device: 'cpu' }), 'ok', /as configured/);
  assertFinding(await one({ hasDriver: false }), 'ok', /no NVIDIA driver/);
  assertFinding(await one({ platform: 'darwin-arm64' }), 'ok', /this is darwin-arm64/);
  assertFinding(await one({ platform: 'darwin-arm64', device: 'cuda' }), 'error', /linux-x64 alone/, /Linux x64/);
  const missingProvider = ['libonnxruntime_providers_cuda.so'];
  assertFinding(await one({ missingProvider }), 'warning', /providers_cuda\.so/, /cuda install/);
  assertFinding(
    await one({ missingProvider, device: 'cuda', hasDriver: false }),
    'error',
    /not installed/,
    /cuda install/,
  );
  const checkLibraries = () => Promise.reject(new Error('ldd: not found'));
  assertFinding(await one({ checkLibraries }), 'warning', /ldd: not found/, /ldconfig/);
});

test('libraries of CUDA are named with their versions, and missing ones by name', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'vicregl-doctor-'));
  try {
    const cudnn = CUDA_LIBRARIES.find(({ name }) => name === 'cuDNN')!;
    const curand = CUDA_LIBRARIES.find(({ name }) => name === 'cuRAND')!;
    await writeFile(join(scratch, 'libcudnn.so.9.10.2'), '');
    await symlink('libcudnn.so.9.10.2', join(scratch, cudnn.file));
    const found = { library: cudnn, path: join(scratch, cudnn.file) };
    const whole = await checkDevice({ ...facts, checkLibraries: async () => ({ libraries: [found], problems: [] }) });
    assertFinding(whole[0], 'ok', /^libcudnn\.so\.9 \(cuDNN\) 9\.10\.2: /);
    assertFinding(whole[1], 'ok', /every library/);
    const checkLibraries = async () => ({ libraries: [found, { library: curand }], problems: ['Not found: cuRAND.'] });
    const partly = await checkDevice({ ...facts, device: 'cuda', checkLibraries });
    assertFinding(partly[1], 'error', /^libcurand\.so\.10 \(cuRAND\) is not found$/, /CUDA 13\.0, cuDNN 9/);
    assertFinding(partly[2], 'error', /CUDA cannot be used/, /Not found: cuRAND\. "npx vicregl cuda check"/);
    assert.equal(worst(await checkDevice({ ...facts, checkLibraries })), 'warning', 'with auto, the CPU is left');
  } finally {
    await rm(scratch, { recursive: true });
  }
});

test('formats that libvips lacks are named, and so is a sharp that does not load', async () => {
  const sharp = (lacking: readonly string[]) => async () => ({
    version: '1.2.3',
    libvips: '8.0.0',
    async tryFormat(format: string) {
      if (lacking.includes(format)) throw new Error('no such format');
    },
  });
  assertFinding(
    await checkImages(sharp([]), ['jpeg', 'avif']),
    'ok',
    /^sharp 1\.2\.3 with libvips 8\.0\.0: jpeg, avif$/,
  );
  assertFinding(await checkImages(sharp(['avif']), ['jpeg', 'avif']), 'error', /cannot read avif$/, /GLOBAL_LIBVIPS/);
  const broken = () => Promise.reject(new Error('Could not load the "sharp" module using the linux-x64 runtime'));
  assertFinding(await checkImages(broken, ['jpeg']), 'error', /Could not load/, /--omit=optional/);
});

test('the limit of open files is the hard one, which Node takes', () => {
  const limits = (soft: string, hard: string) =>
    `Limit                     Soft Limit           Hard Limit           Units     \nMax open files            ${soft}                 ${hard}              files     \n`;
  assertFinding(checkFileLimit(limits('1024', '524288')), 'ok', /^1024, at most 524288 files/);
  assertFinding(checkFileLimit(limits('4096', '4096')), 'ok', /^4096 files/);
  assertFinding(checkFileLimit(limits('1024', 'unlimited')), 'ok', /unlimited/);
  assertFinding(checkFileLimit(limits('1024', '1024')), 'warning', /^1024 files/, /LimitNOFILE/);
  assertFinding(checkFileLimit(limits('64', '64')), 'error', /^64 files/, /EMFILE/);
  assertFinding(checkFileLimit(undefined), 'ok', /not known/);
});

test('memory is that of the control group, if it has a limit, and is compared with what the configuration permits', () => {
  const memory: MemoryFacts = {
    machine: 16 * GiB,
    limit: 2 ** 64,
    available: 8 * GiB,
    bounds: { requestBytes: GiB, mapBytes: GiB },
    workers: 2,
    decodeProcesses: 2,
  };
  assertFinding(checkMemory(memory), 'ok', /^memory 16\.0 GiB, 8\.0 GiB available$/);
  assertFinding(checkMemory({ ...memory, limit: 0 }), 'ok', /^memory 16\.0 GiB/);
  const tight = checkMemory({ ...memory, limit: 2 * GiB, available: GiB });
  assertFinding(
    tight,
    'warning',
    /2\.0 GiB \(limit of the control group\).*permits 2\.4 GiB/,
    /requestBytes, mapBytes/,
  );
  assert.match(tight.advice ?? '', /422 MiB for 2 workers and 2 decode processes/);
  assertFinding(checkMemory({ ...memory, available: 100 * 2 ** 20 }), 'error', /100 MiB available/, /384 MiB/);
});

test('each port that cannot be used is an error by its reason, unless a service already answers there', async () => {
  const listeners = [
    { key: 'address', host: '0.0.0.0', port: 443 },
    { key: 'metricsAddress', host: '::1', port: 9464 },
  ];
  let held = 0;
  const with_ = (code: string | undefined, runs = false) =>
    checkPorts(
      listeners,
      async ({ port }) => {
        if (port === 443 && code !== undefined) return { code };
        held++;
        return { release: async () => void held-- };
      },
      async () => runs,
    );
  const [free, other] = await with_(undefined);
  assertFinding(free, 'ok', /^address: 0\.0\.0\.0:443 is free$/);
  assertFinding(other, 'ok', /^metricsAddress: \[::1\]:9464 is free$/);
  assertFinding((await with_('EADDRINUSE'))[0], 'error', /EADDRINUSE/, /ss -ltnp/);
  assertFinding((await with_('EADDRINUSE', true))[0], 'warning', /a service answers/, /nothing to do/);
  assertFinding((await with_('EACCES', true))[0], 'error', /EACCES/, /CAP_NET_BIND_SERVICE/);
  assertFinding((await with_('EADDRNOTAVAIL'))[0], 'error', /EADDRNOTAVAIL/, /No interface/);
  assertFinding((await with_('ENOTFOUND'))[0], 'error', /ENOTFOUND/, /HOST:PORT/);
  assert.equal(held, 0, 'every port is released');
});

test('all listeners are bound at once: two for one port are an error that names both', async () => {
  const names = ['localhost', '127.0.0.1'];
  const bound = new Set<number>();
  const [first, second] = await checkPorts(
    names.map((host, i) => ({ key: ['address', 'adminAddress'][i]!, host, port: 9465 })),
    async ({ port }) => {
      if (bound.has(port)) return { code: 'EADDRINUSE' };
      bound.add(port);
      return { release: async () => void bound.delete(port) };
    },
    async () => assert.fail('no service has the port'),
  );
  assertFinding(first, 'ok', /^address: localhost:9465 is free$/);
  assertFinding(second, 'error', /^adminAddress: 127\.0\.0\.1:9465 is taken by address of the same/, /port of its own/);
});

test('files of TLS and tokens are read as the service reads them', async () => {
  const expires = new Date('2030-01-02T03:04:05Z');
  const certificate = (soon: boolean) => async () => ({ names: 'DNS:localhost', expires, soon });
  const none = async () => undefined;
  const [tls, tokens] = await checkSecurity({ certificate: certificate(false), tokens: async () => 1 });
  assertFinding(tls, 'ok', /^TLS with the certificate of DNS:localhost, valid until 2030-01-02T03:04:05\.000Z$/);
  assertFinding(tokens, 'ok', /^1 token$/);
  const [soon, open] = await checkSecurity({ certificate: certificate(true), tokens: none });
  assertFinding(soon, 'warning', /2030/, /renew it/);
  assertFinding(open, 'ok', /^no tokens/);
  const fails = async () => {
    throw new Error('the configuration has 2 problems:\n  tokensFile: one\n  two');
  };
  const [off, wrong] = await checkSecurity({ certificate: none, tokens: fails });
  assertFinding(off, 'ok', /^no TLS$/);
  assertFinding(wrong, 'error', /list of tokens cannot be used/, /tokensFile: one; two\. The service does not start/);
});

test('a model that is given twice is an error', async () => {
  const { folder, remove } = await withTinyModel();
  try {
    const [first, again] = await checkModels(['a', 'b'], async () => folder.dir);
    assertFinding(first, 'ok', /^tiny@1/);
    assertFinding(again, 'error', /^b cannot be served$/, /tiny@1 is given twice/);
    const versions = [{ version: '1', dir: folder.dir }];
    const facts = { dir: 'models', models: [{ name: 'tiny', versions }], misplaced: [] };
    const [, inDir] = await checkModels(['a'], async () => folder.dir, facts);
    assertFinding(inDir, 'error', /^tiny@1 cannot be served$/, /tiny@1 is given twice/);
  } finally {
    await remove();
  }
});

test('of a models directory, one version that works is enough for each model, and one model for the start', async () => {
  const [good, bad] = [await withTinyModel(), await withTinyModel()];
  try {
    await writeFile(join(bad.folder.dir, Object.keys(bad.folder.manifest.files)[0]!), 'damaged');
    const [whole, damaged] = [good.folder.dir, bad.folder.dir];
    const check = (models: Record<string, readonly (readonly [string, string])[]>, misplaced: string[] = []) =>
      checkModels([], async () => assert.fail(), {
        dir: 'models',
        models: Object.entries(models).map(([name, versions]) => ({
          name,
          versions: versions.map(([version, dir]) => ({ version, dir })),
        })),
        misplaced,
      });
    const older = await check(
      {
        tiny: [
          ['4', damaged],
          ['1', whole],
        ],
      },
      ['flat'],
    );
    assert.equal(older.length, 3);
    assertFinding(older[0], 'ok', /^tiny@1: /);
    assertFinding(older[1], 'warning', /^tiny\/4 cannot be served$/, /is damaged.*Version 1 is served in its place/);
    assertFinding(older[2], 'warning', /^flat\/manifest\.json/, /move the model to flat\/VERSION\//);
    const other = await check({ tiny: [['1', whole]], misnamed: [['1', whole]] });
    assertFinding(
      other[1],
      'warning',
      /^misnamed\/1/,
      /is of tiny@1, not of misnamed@1\. No version of misnamed is served/,
    );
    const none = await check({ tiny: [['1', damaged]] });
    assertFinding(none[0], 'error', /^models has no model that can be served$/, /every version is refused/);
    assertFinding(none[1], 'warning', /^tiny\/1/, /No version of tiny/);
    assertFinding((await check({}))[0], 'error', /^models has no model/, /holds no NAME\/VERSION\/manifest\.json/);
  } finally {
    await Promise.all([good.remove(), bad.remove()]);
  }
});

test('a model whose files are not as listed is an error that names the file, and the others are still checked', async () => {
  const { folder, remove } = await withTinyModel();
  try {
    const find = async (name: string) => {
      if (name === 'gone') throw new Error('there is no model "gone"');
      return folder.dir;
    };
    assertFinding((await checkModels(['tiny'], find))[0], 'ok', /^tiny@1: \d+ files, .*as listed/);
    const file = Object.keys(folder.manifest.files)[0]!;
    await writeFile(join(folder.dir, file), 'damaged');
    const [gone, damaged] = await checkModels(['gone', 'tiny'], find);
    assertFinding(gone, 'error', /^gone cannot be served$/, /there is no model "gone"\. .*models list/);
    assertFinding(damaged, 'error', /^tiny cannot be served$/, new RegExp(`is damaged.*${file}`));
    assert.ok(!damaged!.advice!.includes('\n'), 'one paragraph');
  } finally {
    await remove();
  }
});

test('the result is the most serious finding', () => {
  const finding = (severity: Finding['severity']): Finding => ({ check: 'a', severity, found: '' });
  assert.equal(worst([]), 'ok');
  assert.equal(worst([finding('ok'), finding('warning')]), 'warning');
  assert.equal(worst([finding('error'), finding('warning')]), 'error');
});
