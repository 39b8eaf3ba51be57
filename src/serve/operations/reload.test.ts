import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createReload } from './reload.js';

test('a reload of one model calls the part that has it, with its name; a reload of everything calls all without', async () => {
  const calls: (readonly [string, string | undefined])[] = [];
  const part = (name: string, modelNames?: () => readonly string[]) => ({
    name,
    ...(modelNames && { modelNames }),
    async reload(model?: string) {
      calls.push([name, model]);
      return name;
    },
  });
  const parts = [part('certificates'), part('models of dir', () => ['a', 'a@1', 'b', 'b@2'])];
  const reload = createReload(parts, { info: () => {}, error: () => {} });
  assert.deepEqual(await reload('b@2'), [{ name: 'models of dir', ok: true, message: 'models of dir' }]);
  await reload();
  assert.deepEqual(calls, [
    ['models of dir', 'b@2'],
    ['certificates', undefined],
    ['models of dir', undefined],
  ]);
  await assert.rejects(reload('c'), { code: 'unknown_model' });
});
