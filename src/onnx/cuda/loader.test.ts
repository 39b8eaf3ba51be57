import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadProblem, providerProblem } from './loader.js';

describe('the loader', { skip: process.platform !== 'linux' && 'its words are those of glibc' }, () => {
  it('names a missing library, and reports nothing for a present one', () => {
    assert.match(loadProblem('libnever-heard-of.so.7')!, /^libnever-heard-of\.so\.7: cannot open shared object file/);
    assert.equal(loadProblem('libm.so.6'), undefined);
  });

  it('reports what is wrong with a file that is not a library', () => {
    assert.match(loadProblem(new URL(import.meta.url).pathname)!, /invalid ELF header|file too short/);
  });

  it('names the provider if it is not installed', () => {
    const path = '/nowhere/libonnxruntime_providers_cuda.so';
    assert.equal(providerProblem(path), `${path}: cannot open shared object file`);
  });
});
