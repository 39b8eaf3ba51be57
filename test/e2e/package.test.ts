import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { long } from '../support/longTests.js';
import { npm, skipWithoutRegistry } from '../support/npm.js';
import { startServedProcessWith } from '../support/servedProcess.js';

/** The package as users install it: packed, and the only dependency of a project. */

const execute = promisify(execFile);

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

let scratch: string;
let packed: Packed;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-package-'));
  [packed] = JSON.parse(await npm('.', {}, 'pack', '--json', '--pack-destination', scratch)) as [Packed];
});
after(() => rm(scratch, { recursive: true }));

/** Files below a folder of the repository, with paths from its root. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

describe('the packed files', () => {
  test('are complete: programs, proto files, recipes, experiments and the bundled model', async () => {
    const paths = packed.files.map(({ path }) => path);
    const isProgram = (path: string) => path.endsWith('.ts') && !/\.(test|d)\.ts$|^src\/web\//.test(path);
    const sources = (await filesIn('src')).filter(isProgram);
    const pages = await filesIn('dist/web');
    assert.ok(pages.includes('dist/web/index.html') && pages.includes('dist/web/runs.html'));
    const expected = [
      ...['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md', 'bin/package.json', 'bin/vicregl.js'],
      ...(await filesIn('proto')),
      ...(await filesIn('recipes')),
      ...(await filesIn('experiments')),
      ...[
        'models/README.md',
        'models/manifest.schema.json',
        ...(await filesIn('models/vicregl-resnet18-half')),
        ...(await filesIn('models/vicregl-resnet18-half-int8')),
      ],
      ...sources.map((path) => join('dist', path.replace(/\.ts$/, '.js'))),
      ...pages,
      'dist/src/proto/descriptors.binpb', // needed by reflection
    ];
    const programs = paths.filter((path) => !path.endsWith('.d.ts'));
    assert.deepEqual(
      programs.sort(),
      expected.sort(),
      'where dist has files of sources that are gone: remove it, and build',
    );
    // types of the client, and the types they use
    const types = new Set(paths.filter((path) => path.endsWith('.d.ts')).map((path) => path.split('/')[2]));
    assert.deepEqual([...types].sort(), ['client', 'proto', 'tensor']);
  });
});

const skip = await skipWithoutRegistry();

test('the tests below are skipped with the reason if there is no registry, and fail if CI requires it', async (t) => {
  // npm waits for ten seconds before it tries again, unless it is told otherwise.
  const nowhere = { npm_config_registry: 'http://127.0.0.1:1/', npm_config_fetch_retry_mintimeout: '10' };
  const before = process.env['CI_NPM_REGISTRY'];
  t.after(() => {
    if (before !== undefined) process.env['CI_NPM_REGISTRY'] = before;
    else delete process.env['CI_NPM_REGISTRY'];
  });
  delete process.env['CI_NPM_REGISTRY'];
  assert.match(String(await skipWithoutRegistry(nowhere)), /^npm's registry cannot be reached \(.*ECONNREFUSED/);
  process.env['CI_NPM_REGISTRY'] = 'required';
  await assert.rejects(skipWithoutRegistry(nowhere), /CI_NPM_REGISTRY=required forbids/);
});

const consumer = `
import { createClient, type Embedding } from 'vicregl';
const client = createClient({ address: process.argv[2]! });
const { vector }: Embedding = await client.embed(await readFile(process.argv[3]!), { l2Normalize: true });
const { shape, grid } = await client.features(await readFile(process.argv[3]!), { space: 'localProjector' });
const model = await client.model();
client.close();
console.log(JSON.stringify({ dimensions: vector.length, shape, stride: grid.stride, name: model.name }));
`;

describe('the package as a dependency', { skip, ...long }, () => {
  let project: string;
  /** The environment variable of the README's install command, and its value. */
  let withoutCuda: Readonly<Record<string, string>>;
  const installed = (path: string): string => join(project, 'node_modules', path);
  before(async () => {
    project = join(scratch, 'project');
    await mkdir(project);
    await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
    const command = /(\w+)=(\w+) npm install \S*\bvicregl\b/.exec(await readFile('README.md', 'utf8'));
    assert.ok(command, 'the README does not say how to install the package without CUDA');
    const [, name, value] = command as unknown as [string, string, string];
    withoutCuda = { [name]: value };
    await npm(project, withoutCuda, 'install', '--prefer-offline', '--no-audit', join(scratch, packed.filename));
  });

  test('installs neither CUDA nor development dependencies', async () => {
    const { dependencies, devDependencies } = JSON.parse(await readFile('package.json', 'utf8')) as Manifest;
    for (const name of Object.keys(dependencies)) assert.ok(existsSync(installed(name)), name);
    for (const name of Object.keys(devDependencies)) {
      // No library needs the types. Other development tools may be dependencies of a library, in another version.
      if (name.startsWith('@types/') && name !== '@types/node') assert.ok(!existsSync(installed(name)), name);
    }
    // a later npm may run no install scripts by default; here the script runs and downloads nothing
    const env = { PATH: process.env['PATH'], ...withoutCuda };
    await execute(process.execPath, [installed('onnxruntime-node/script/install.js')], { cwd: project, env });
    const runtime = await readdir(installed('onnxruntime-node/bin'), { recursive: true });
    assert.deepEqual(
      runtime.filter((path) => path.includes('providers')),
      [],
    );
  });

  test('serves the bundled model, and its client works from JavaScript and, with types, from TypeScript', async () => {
    const script = join(project, 'consumer.ts');
    await writeFile(script, `import { readFile } from 'node:fs/promises';\n${consumer}`);
    const tsc = resolve('node_modules/typescript/bin/tsc');
    const types = ['--types', 'node', '--typeRoots', resolve('node_modules/@types')];
    const strict = [
      '--strict',
      '--noUncheckedIndexedAccess',
      '--exactOptionalPropertyTypes',
      '--skipLibCheck',
      'false',
    ];
    const output = ['--module', 'nodenext', '--target', 'es2023', '--outDir', project];
    await execute(process.execPath, [tsc, ...strict, ...types, ...output, script], { cwd: project }).catch(
      ({ stdout }: { stdout: string }) => assert.fail(stdout),
    );

    const served = await startServedProcessWith(
      { program: installed('vicregl/bin/vicregl.js'), cwd: project },
      '--threads',
      '1',
    );
    const ended = once(served.child, 'exit');
    try {
      const photo = resolve('test/fixtures/photos/astronaut.jpg');
      const args = [join(project, 'consumer.js'), served.address, photo];
      const { stdout } = await execute(process.execPath, args, { cwd: project });
      assert.deepEqual(JSON.parse(stdout), {
        dimensions: 256,
        shape: [14, 14, 256],
        stride: 16,
        name: 'vicregl-resnet18-half',
      });
      const command = await execute(join(project, 'node_modules/.bin/vicregl'), [
        'embed',
        photo,
        '--address',
        served.address,
      ]);
      assert.deepEqual((JSON.parse(command.stdout) as { shape: unknown }).shape, [256]);
    } finally {
      served.child.kill('SIGTERM');
    }
    assert.deepEqual(await ended, [0, null]);
  });
});
