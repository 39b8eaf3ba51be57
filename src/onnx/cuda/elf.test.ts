import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { sharedLibrary } from '../../../test/support/sharedLibrary.js';
import { readNeeded } from './elf.js';
import { runtimePackage } from './provider.js';

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-elf-'));
});
after(() => rm(scratch, { recursive: true }));

describe('the libraries that a shared library needs', () => {
  test("are read in order from a linker's output, for both processors", async () => {
    for (const arch of ['x64', 'arm64']) {
      const binding = join(runtimePackage(), 'bin/napi-v6/linux', arch, 'onnxruntime_binding.node');
      const needed = await readNeeded(binding);
      assert.equal(needed[0], 'libonnxruntime.so.1');
      assert.ok(needed.includes('libstdc++.so.6') && needed.includes('libc.so.6'), String(needed));
    }
  });

  test('may be an empty list', async () => {
    const path = join(scratch, 'alone.so');
    await writeFile(path, sharedLibrary([]));
    assert.deepEqual(await readNeeded(path), []);
  });

  test('are not read from a truncated file or another kind of file', async () => {
    const whole = sharedLibrary(['libcudart.so.13', 'libc.so.6']);
    const path = join(scratch, 'cut.so');
    for (let length = 0; length < whole.length; length++) {
      await writeFile(path, whole.subarray(0, length));
      await assert.rejects(readNeeded(path), /cut\.so is (cut off|not a shared library)/, String(length));
    }
    await writeFile(path, whole);
    assert.deepEqual(await readNeeded(path), ['libcudart.so.13', 'libc.so.6']);
    await writeFile(path, Buffer.alloc(1000, 'MZ'));
    await assert.rejects(readNeeded(path), /is not a shared library/);
    await assert.rejects(readNeeded(join(scratch, 'absent.so')), /ENOENT/);
  });
});
