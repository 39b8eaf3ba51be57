import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The command, as users run it. */
export const bin = fileURLToPath(new URL('../../../bin/vicregl.js', import.meta.url));

/** What runs, and where: the repository's command, and what this process has, where absent. */
export interface Place {
  /** Path of bin/vicregl.js. */
  readonly program?: string;
  readonly cwd?: string;
  /** All its variables. */
  readonly env?: Readonly<NodeJS.ProcessEnv>;
}

export interface ServedProcess {
  readonly child: ChildProcess;
  /** HOST:PORT of gRPC. */
  readonly address: string;
  /** HOST:PORT of /metrics. */
  readonly metricsAddress: string;
  /** HOST:PORT of the admin calls. */
  readonly adminAddress: string;
}

/** Starts `vicregl serve` as a process of its own on free ports and waits until it serves. */
export const startServedProcess = (...flags: string[]): Promise<ServedProcess> => startServedProcessIn({}, ...flags);

/** The same with variables beside those of this process. */
export const startServedProcessIn = (
  environment: Readonly<Record<string, string>>,
  ...flags: string[]
): Promise<ServedProcess> => startServedProcessWith({ env: { ...process.env, ...environment } }, ...flags);

/** The same of another package, in another folder, or with other variables than those of this process. */
export async function startServedProcessWith(
  { program = bin, ...place }: Place,
  ...extra: string[]
): Promise<ServedProcess> {
  const listeners = ['--address', '--metrics-address', '--admin-address'].flatMap((flag) => [flag, '127.0.0.1:0']);
  const flags = [...listeners, '--device', 'cpu', ...extra];
  const child = spawn(process.execPath, [program, 'serve', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...place,
  });
  for await (const line of createInterface({ input: child.stdout! })) {
    const entry = JSON.parse(line) as { msg: string; address: string; metricsAddress: string; adminAddress: string };
    if (entry.msg !== 'serving') continue;
    child.stdout!.resume();
    const { address, metricsAddress, adminAddress } = entry;
    return { child, address, metricsAddress, adminAddress };
  }
  throw new Error('the service ended before it served');
}
