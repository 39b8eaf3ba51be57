import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../../../bin/vicregl.js', import.meta.url));

/** A service in a separate process, started by its command line. */
export interface ServiceProcess {
  readonly pid: number;
  /** HOST:PORT of the gRPC service. */
  readonly address: string;
  /** HOST:PORT of the metrics. */
  readonly metricsAddress: string;
  /** The execution provider in use. */
  readonly provider: 'cpu' | 'cuda';
  /** Sends SIGTERM and waits until the process has ended. */
  stop(): Promise<void>;
}

type Serving = Pick<ServiceProcess, 'address' | 'metricsAddress' | 'provider'>;

/**
 * Starts a program that logs JSON lines like `vicregl serve`, and waits for the message "serving".
 * @throws Error if it ends before.
 */
export async function startLoggingProcess(command: string, args: readonly string[]): Promise<ServiceProcess> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout })) {
    const entry = JSON.parse(line) as { msg: string } & Serving;
    if (entry.msg !== 'serving') continue;
    child.stdout.resume();
    const onExit = (code: number | null, signal: string | null) =>
      console.error(`the service ended unexpectedly: exit code ${code}, signal ${signal}`);
    child.on('exit', onExit);
    const { address, metricsAddress, provider } = entry;
    return {
      pid: child.pid!,
      address,
      metricsAddress,
      provider,
      async stop() {
        child.off('exit', onExit);
        if (child.exitCode !== null || child.signalCode !== null) return;
        const exited = once(child, 'exit');
        child.kill('SIGTERM');
        await exited;
      },
    };
  }
  throw new Error('the service ended before it was ready');
}

/** Starts `vicregl serve` on free ports. @param flags additional flags, such as `--model DIR` */
export function startService(flags: readonly string[]): Promise<ServiceProcess> {
  return startLoggingProcess(bin, [
    ...['serve', '--address', '127.0.0.1:0', '--metrics-address', '127.0.0.1:0', '--admin-address', 'off'],
    ...flags,
  ]);
}
