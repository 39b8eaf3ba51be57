import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';

const NAME = 'ORT_DISABLE_TELEMETRY';
const telemetry = new URL('./telemetry.js', import.meta.url).href;

/** Runs a script in a process with a value of the variable, and returns its output. */
function run(script: string, value?: string): string {
  const { [NAME]: _, ...inherited } = process.env;
  const env = value === undefined ? inherited : { ...inherited, [NAME]: value };
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { env });
  assert.equal(status, 0, stderr.toString());
  return stdout.toString().trim();
}

describe('the telemetry of ONNX Runtime', () => {
  test('is off by default, follows the setting of the user, and is inherited by child processes', () => {
    const child = `execFileSync(process.execPath, ['-p', 'process.env.${NAME}'], { stdio: ['ignore', 'inherit', 'inherit'] })`;
    const script = `import '${telemetry}'; import { execFileSync } from 'node:child_process'; ${child}`;
    assert.deepEqual(
      [undefined, '', '0', '1', 'yes'].map((value) => run(script, value)),
      ['1', '1', '0', '1', 'yes'],
    );
  });

  test('cannot stay enabled in a worker thread by mistake', () => {
    const thread = (before: string): string => `
      import { once } from 'node:events';
      import { Worker } from 'node:worker_threads';
      ${before}
      const worker = new Worker(new URL('${telemetry}'), { execArgv: [] });
      console.log(await Promise.race([
        once(worker, 'error').then(([error]) => error.message),
        once(worker, 'exit').then(([code]) => code),
      ]));`;
    assert.match(
      run(thread('')),
      /^ORT_DISABLE_TELEMETRY is not set, and a worker thread cannot set it: import .* in the main/,
    );
    assert.equal(run(thread(`import '${telemetry}';`)), '0');
    assert.equal(run(thread(''), '0'), '0');
  });
});
