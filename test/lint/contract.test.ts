import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

/** `npm run lint` checks the contract by buf. What it would find is planted in a copy. */

const released = 'test/contract/released.binpb';
const buf = async (...args: string[]): Promise<{ code: number; output: string }> =>
  promisify(execFile)('node_modules/.bin/buf', args).then(
    ({ stdout }) => ({ code: 0, output: stdout }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, output: stdout + stderr }),
  );

test('buf finds a changed field and a message of a wrong style, and the rules are those of lint', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'vicregl-contract-'));
  try {
    await cp('proto', join(scratch, 'proto'), { recursive: true });
    const path = join(scratch, 'proto/vicregl/v1/vicregl.proto');
    const contract = await readFile(path, 'utf8');
    const changed = contract.replace('  bytes rgb = 3;', '  bytes pixels = 3;');
    assert.notEqual(changed, contract);
    await writeFile(path, changed);
    const config = [
      '--config',
      JSON.stringify({ version: 'v2', breaking: { use: ['FILE'] }, lint: { use: ['STANDARD'] } }),
    ];
    const broken = await buf('breaking', join(scratch, 'proto'), '--against', released, ...config);
    assert.equal(broken.code, 100);
    assert.match(broken.output, /Field "3" on message "RawImage" changed name from "rgb" to "pixels"/);

    await writeFile(path, `${contract}\nmessage badly_named {}\n`);
    const added = await buf('breaking', join(scratch, 'proto'), '--against', released, ...config);
    assert.deepEqual(added, { code: 0, output: '' }, 'what is only added breaks nobody');
    const styled = await buf('lint', join(scratch, 'proto'), ...config);
    assert.equal(styled.code, 100);
    assert.match(styled.output, /Message name "badly_named" should be PascalCase/);
  } finally {
    await rm(scratch, { recursive: true });
  }
  const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> };
  assert.match(scripts['lint']!, /npm run lint:contract/);
  assert.match(scripts['lint:contract']!, new RegExp(`buf lint && buf breaking proto --against ${released}`));
});
