import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bin, type Place } from './servedProcess.js';

/** Exit code and output of a command. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `node bin/vicregl.js ...` to its end. */
export const vicregl = (...args: string[]): Promise<Ended> => vicreglIn({}, ...args);

/** The same for another package, in another folder, or with another environment. */
export async function vicreglIn({ program = bin, ...place }: Place, ...args: string[]): Promise<Ended> {
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [program, ...args], place)) };
  } catch (error) {
    const { code, stdout, stderr } = error as Ended;
    return { code, stdout, stderr };
  }
}

/** Message to the process of `vicreglInHost`. */
export interface HostedCommand {
  readonly cwd: string;
  readonly args: readonly string[];
}

/** The process of `vicreglInHost`, its exit, and the result of the last command. */
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
  // Between commands it must not keep this process alive. It exits when this process does.
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
 * Runs `vicregl ...` to its end in a shared process that runs one command after another. This is faster, since a short
 * command spends most of its time starting Node and loading modules. Use it for commands that end by themselves. Tests of a
 * command as a process (signals, leftovers, environment) need `vicregl`.
 */
export const vicreglInHost = (...args: string[]): Promise<Ended> => vicreglInHostAt(process.cwd(), ...args);

/** The same in another folder. */
export function vicreglInHostAt(cwd: string, ...args: string[]): Promise<Ended> {
  const ended = last.then(() => runInHost(cwd, args));
  last = ended.catch(() => {});
  return ended;
}
