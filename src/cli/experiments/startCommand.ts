import { fork } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { CommandEnd, StartCommand } from '../../experiments/command.js';

/** Characters of a command's output that are kept in memory; the log has all. */
const KEPT = 64 * 1024;

/** See `StartCommand`. */
export const startCommand: StartCommand = (args, { log, scratch }) => {
  const file = openSync(log, 'a');
  writeSync(file, `\n$ vicregl ${args.join(' ')}\n`);
  const child = fork(fileURLToPath(new URL('commandProcess.js', import.meta.url)), args, {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, TMPDIR: scratch },
  });
  const kept = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (text: string) => {
      writeSync(file, text);
      kept[name] = (kept[name] + text).slice(-KEPT);
    });
  }
  const ended = new Promise<CommandEnd>((resolve, reject) => {
    child.once('error', reject).once('close', (code, signal) => resolve({ code, signal, ...kept }));
  }).finally(() => closeSync(file));
  return {
    ended,
    stop() {
      // The channel closes as the command ends.
      if (child.connected) child.send('stop', () => undefined);
    },
  };
};
