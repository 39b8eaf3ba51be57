import { runProgram } from '../../src/cli/program.js';
import type { Ended, HostedCommand } from './vicregl.js';

/** The process of `vicreglInHost`. It runs the received command lines one at a time, and sends back the result of each. */

const plain = { out: process.stdout.write, error: process.stderr.write, exit: process.exit };

async function run(words: readonly string[]): Promise<Ended> {
  const written = { stdout: '', stderr: '' };
  let exited: number | undefined;
  const into = (name: keyof typeof written) =>
    ((chunk: Uint8Array | string, ...rest: unknown[]): boolean => {
      // Drop output after process.exit, which a real process would not write.
      if (exited === undefined) written[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      const done = rest.find((each) => typeof each === 'function') as (() => void) | undefined;
      if (done) process.nextTick(done);
      return true;
    }) as typeof process.stdout.write;
  process.stdout.write = into('stdout');
  process.stderr.write = into('stderr');
  process.exit = (code?: number | string | null) => {
    exited ??= Number(code ?? process.exitCode ?? 0);
    throw new Error('the command has ended itself');
  };
  process.exitCode = undefined;
  try {
    await runProgram(words);
    return { ...written, code: exited ?? Number(process.exitCode ?? 0) };
  } finally {
    process.stdout.write = plain.out;
    process.stderr.write = plain.error;
    process.exit = plain.exit;
    process.exitCode = undefined;
  }
}

process.on('message', async ({ cwd, args }: HostedCommand) => {
  process.chdir(cwd);
  process.send!(await run(args));
});
process.on('disconnect', () => process.exit());
