import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { writeSharedLibrary } from '../../../test/support/sharedLibrary.js';
import { checkCuda } from './checkCuda.js';
import { CUDA_LIBRARIES } from './libraries.js';
import { CUDA_PLATFORM } from './provider.js';

const skip = `${process.platform}-${process.arch}` === CUDA_PLATFORM ? false : `CUDA is for ${CUDA_PLATFORM} alone`;

describe('the requirements of the CUDA provider on this machine', { skip }, () => {
  const linked = CUDA_LIBRARIES.filter(({ loadedAt }) => loadedAt === 'start').map(({ file }) => file);
  /** The driver version is read from a file that does not exist, because this machine may have a driver. */
  const options = { driverVersionFile: '/nowhere' };
  const before = process.env['LD_LIBRARY_PATH'];
  let scratch: string;
  let folder: string;
  let provider: string;
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-cuda-'));
    folder = join(scratch, 'libraries');
    await mkdir(folder);
    for (const { file } of CUDA_LIBRARIES) await writeSharedLibrary(join(folder, file));
    provider = join(scratch, 'libonnxruntime_providers_cuda.so');
    await writeSharedLibrary(provider, [...linked, 'libc.so.6', 'libm.so.6']);
    process.env['LD_LIBRARY_PATH'] = folder;
  });
  afterEach(async () => {
    if (before === undefined) delete process.env['LD_LIBRARY_PATH'];
    else process.env['LD_LIBRARY_PATH'] = before;
    await rm(scratch, { recursive: true });
  });

  test('are found, each with the file that would be loaded', async () => {
    const { libraries, problems } = await checkCuda(provider, options);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      libraries.map(({ library, path }) => [library.file, path]),
      CUDA_LIBRARIES.map(({ file }) => [file, join(folder, file)]),
    );
  });

  test('are reported if missing, with the package that has them', async () => {
    // libraries that are installed on this machine are found there instead
    const own = execFileSync('/sbin/ldconfig', ['-p']).toString();
    const foreign = CUDA_LIBRARIES.filter(({ file }) => !own.includes(file));
    for (const library of foreign) {
      await rm(join(folder, library.file));
      const { problems } = await checkCuda(provider, options);
      assert.equal(problems.length, 1, library.file);
      assert.ok(problems[0]!.startsWith(`Not found: ${library.file} (${library.name}). `), problems[0]);
      assert.ok(problems[0]!.includes(library.package ?? 'The driver has to be 580 or later'), problems[0]);
      await writeSharedLibrary(join(folder, library.file));
    }
  });

  test('exclude the driver during the build of an image', async () => {
    await rm(join(folder, 'libcuda.so.1'));
    const { libraries, problems } = await checkCuda(provider, { ...options, driver: false });
    assert.deepEqual(problems, []);
    assert.ok(libraries.every(({ library }) => library.file !== 'libcuda.so.1'));
  });

  test('differ for a provider of another version: additional and unneeded libraries', async () => {
    await writeSharedLibrary(provider, [...linked.slice(1), 'libvicregl-absent.so.14', 'libc.so.6']);
    const { problems } = await checkCuda(provider, options);
    assert.deepEqual(problems, [
      `The provider needs libvicregl-absent.so.14 and does not need ${linked[0]}, unlike that of ONNX Runtime 1.29.0: ` +
        'another version is installed, or src/onnx/cuda/libraries.ts is out of date.',
      'Not found: libvicregl-absent.so.14, which these are linked with.',
    ]);
  });

  test('include the dependencies of the libraries, also of those that are loaded later', async () => {
    await writeSharedLibrary(join(folder, 'libcudnn.so.9'), ['libvicregl-graph.so.9', 'libc.so.6']);
    await writeSharedLibrary(join(folder, 'libcublas.so.13'), ['libvicregl-light.so.13']);
    const { problems } = await checkCuda(provider, options);
    assert.deepEqual(problems, [
      'Not found: libvicregl-light.so.13, libvicregl-graph.so.9, which these are linked with.',
    ]);
  });

  test('include a driver that is new enough, unless CUDA has its own compatibility library', async () => {
    const file = join(scratch, 'version');
    const check = async (version: string) => {
      await writeFile(file, `NVRM version: NVIDIA UNIX ${version}  Release Build\nGCC version:  gcc version 12.2.0\n`);
      return (await checkCuda(provider, { driverVersionFile: file })).problems;
    };
    assert.deepEqual(await check('x86_64 Kernel Module  580.65.06'), []);
    assert.deepEqual(await check('Open Kernel Module for x86_64  590.44.01'), []);
    const tooOld = (version: string) => [`The NVIDIA driver is ${version}; CUDA 13.0 takes 580 or later.`];
    assert.deepEqual(await check('x86_64 Kernel Module  535.183.01'), tooOld('535.183.01'));
    assert.deepEqual(await check('Open Kernel Module for x86_64  575.57.08'), tooOld('575.57.08'));
    await mkdir(join(scratch, 'compat'));
    await writeSharedLibrary(join(scratch, 'compat/libcuda.so.1'));
    process.env['LD_LIBRARY_PATH'] = `${join(scratch, 'compat')}:${folder}`;
    assert.deepEqual(await check('x86_64 Kernel Module  535.183.01'), []);
  });

  test('cannot be determined for a truncated provider', async () => {
    await writeFile(provider, Buffer.alloc(10));
    await assert.rejects(checkCuda(provider, options), /libonnxruntime_providers_cuda\.so is not a shared library/);
  });
});
