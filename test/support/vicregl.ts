import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bin, type Place } from './servedProcess.js';

/** How a command ended, and what it wrote. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `node bin/vicregl.js ...` to its end. */
export const vicregl = (...args: string[]): Promise<Ended> => vicreglIn({}, ...args);

/** The same of another package, in another folder, or with other variables than those of this process. */
export async function vicreglIn({ program = bin, ...place }: Place, ...args: string[]): Promise<Ended> {
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [program, ...args], place)) };
  } catch (error) {
    const { code, stdout, stderr } = error as Ended;
    return { code, stdout, stderr };
  }
}

/** What the process of `vicreglInHost` is sent. */
export interface HostedCommand {
  readonly cwd: string;
  readonly args: readonly string[];
}

/** The process of this file's `vicreglInHost`, and how the command that was sent last ends. */
let host: ChildProcess | undefined;
let lost: Promise<never>;
let last: Promise<unknown> = Promise.resolve();

async function runInHost(cwd: string, args: readonly string[]): Promise<Ended> {
  if (host === undefined) {
    const started = fork(fileURLToPath(new URL('commandHost.js', import.meta.url)));
    host = started;
    lost = once(started, 'exit').then(([code]) => {
      throw new Error(`a command ended the process that ran it (exit code ${code})`);
    });
    lost.catch(() => {});
  }
  // Between commands it does not keep this process from its end, with which it ends.
  host.ref();
  host.channel!.ref();
  try {
    const answer = once(host, 'message');
    host.send({ cwd, args } satisfies HostedCommand);
    const [ended] = (await Promise.race([answer, lost])) as [Ended];
    return ended;
  } finally {
    host.unref();
    host.channel?.unref();
  }
}

/**
 * Runs `vicregl ...` to its end in a process that runs one command after another: most of a short command's time is that of
 * starting Node and loading modules. For commands that end by themselves; what a command does as a process (signals, what it
 * leaves behind, its environment) needs `vicregl`.
 */
export const vicreglInHost = (...args: string[]): Promise<Ended> => vicreglInHostAt(process.cwd(), ...args);

/** The same in another folder. */
export function vicreglInHostAt(cwd: string, ...args: string[]): Promise<Ended> {
  const ended = last.then(() => runInHost(cwd, args));
  last = ended.catch(() => {});
  return ended;
}
