import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

/** Checks that the lint rules of the import directions see all files. A checker that reads no file finds no violation. */

const depcruise = resolve('node_modules/dependency-cruiser/bin/dependency-cruise.mjs');

interface Report {
  readonly modules: readonly { readonly source: string }[];
  readonly summary: { readonly violations: readonly { readonly from: string; readonly rule: { name: string } }[] };
}

async function cruise(folder: string, ...paths: string[]): Promise<Report> {
  const args = [depcruise, '--config', '.dependency-cruiser.cjs', '--output-type', 'json', ...paths];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder, maxBuffer: 2 ** 28 });
  return JSON.parse(stdout) as Report;
}

const folders = ['src', 'test', 'scripts'];

/** All TypeScript files of the repository with import rules. */
async function sourceFiles(): Promise<string[]> {
  const found = folders.map(async (folder) =>
    (await readdir(folder, { recursive: true })).map((file) => join(folder, file)),
  );
  return (await Promise.all(found)).flat().filter((file) => file.endsWith('.ts'));
}

/** The report of `npm run lint` if no file has changed since, as in `npm test`. Otherwise a new one, which takes longer. */
async function currentReport(): Promise<Report> {
  const path = 'dist/imports.json';
  const written = await stat(path).catch(() => undefined);
  const inputs = [...(await sourceFiles()), '.dependency-cruiser.cjs', 'tsconfig.json', 'package-lock.json'];
  const newest = Math.max(...(await Promise.all(inputs.map((file) => stat(file)))).map(({ mtimeMs }) => mtimeMs));
  if (written === undefined || written.mtimeMs < newest) return cruise('.', ...folders);
  return JSON.parse(await readFile(path, 'utf8')) as Report;
}

describe('import directions', () => {
  let scratch: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-layers-'));
  });
  after(() => rm(scratch, { recursive: true }));

  test('every source file is checked', async () => {
    const { modules, summary } = await currentReport();
    const seen = new Set(modules.map(({ source }) => source));
    for (const file of await sourceFiles()) assert.ok(seen.has(file), `${file} was not read`);
    assert.deepEqual(summary.violations, []);
  });

  test('violations in a test project are found', async () => {
    const planted = {
      'src/tensor/planted.ts': "import { server } from '../serve/server.js';\nexport const planted = server;\n",
      'src/serve/server.ts': "import { train } from '../train/train.js';\nexport const server = train;\n",
      'src/train/train.ts': "import { fixture } from '../../test/fixture.js';\nexport const train = fixture;\n",
      'src/serve/admission/gate.ts': "import { method } from '../api/method.js';\nexport const gate = method;\n",
      'src/serve/api/method.ts': "import { status } from '@grpc/grpc-js';\nexport const method = status;\n",
      'src/serve/transport/grpc.ts': "import { status } from '@grpc/grpc-js';\nexport const grpc = status;\n",
      'src/nn/a.ts': "import type { B } from './b.js';\nexport type A = B | 1;\n",
      'src/nn/b.ts': "import type { A } from './a.js';\nexport type B = A | 2;\n",
      'test/fixture.ts': 'export const fixture = 1;\n',
      'src/onnx/runtime.ts': "export { Tensor } from 'onnxruntime-node';\n",
      'src/onnx/types.ts': "import type { Tensor } from 'onnxruntime-common';\nexport type Output = Tensor;\n",
      'test/late.ts': "export const late = () => import('onnxruntime-node');\n",
      'scripts/cuda/probe.ts': "import { env } from 'onnxruntime-node';\nexport const probe = env;\n",
      'node_modules/@grpc/grpc-js/package.json': '{ "name": "@grpc/grpc-js", "main": "index.js" }',
      'node_modules/@grpc/grpc-js/index.js': 'exports.status = {};\n',
      'node_modules/onnxruntime-node/package.json': '{ "name": "onnxruntime-node", "main": "index.js" }',
      'node_modules/onnxruntime-node/index.js': 'exports.Tensor = class {};\n',
    };
    for (const [path, text] of Object.entries(planted)) {
      await mkdir(dirname(join(scratch, path)), { recursive: true });
      await writeFile(join(scratch, path), text);
    }
    for (const file of ['.dependency-cruiser.cjs', 'tsconfig.json']) await cp(file, join(scratch, file));
    const { summary } = await cruise(scratch, ...folders);
    const found = new Set(summary.violations.map(({ from, rule }) => `${rule.name}: ${from}`));
    for (const expected of [
      'layer-tensor: src/tensor/planted.ts',
      'layer-serve: src/serve/server.ts',
      'serve-admission: src/serve/admission/gate.ts',
      'grpc-in-one-wing: src/serve/api/method.ts',
      'src-stands-alone: src/train/train.ts',
      'no-circular: src/nn/a.ts',
      'runtime-in-one-place: src/onnx/types.ts',
      'runtime-in-one-place: test/late.ts',
      'runtime-in-one-place: scripts/cuda/probe.ts',
    ]) {
      assert.ok(found.has(expected), `${expected} was not found in ${[...found].join('; ')}`);
    }
    assert.ok(!found.has('runtime-in-one-place: src/onnx/runtime.ts'));
    assert.ok(!found.has('grpc-in-one-wing: src/serve/transport/grpc.ts'));
  });
});
