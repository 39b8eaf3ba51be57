/** A service in a process of its own, started as users start it. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../../../bin/vicregl.js', import.meta.url));

export interface ServiceProcess {
  /** HOST:PORT of the gRPC service. */
  readonly address: string;
  /** HOST:PORT of the metrics. */
  readonly metricsAddress: string;
  /** cpu or cuda: what really runs. */
  readonly provider: 'cpu' | 'cuda';
  /** Asks it to end and waits until it has. */
  stop(): Promise<void>;
}

/** Starts `vicregl serve` on free ports and waits until it serves. */
export async function startService(flags: readonly string[]): Promise<ServiceProcess> {
  const args = [bin, 'serve', '--address', '127.0.0.1:0', '--metrics-address', '127.0.0.1:0', ...flags];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout })) {
    const entry = JSON.parse(line) as { msg: string } & Omit<ServiceProcess, 'stop'>;
    if (entry.msg !== 'serving') continue;
    child.stdout.resume();
    const onExit = (code: number | null, signal: string | null) =>
      console.error(`the service ended by itself: exit code ${code}, signal ${signal}`);
    child.on('exit', onExit);
    const { address, metricsAddress, provider } = entry;
    return {
      address,
      metricsAddress,
      provider,
      async stop() {
        child.off('exit', onExit);
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.kill('SIGTERM');
        await once(child, 'exit');
      },
    };
  }
  throw new Error('the service ended before it served');
}
