import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Path of the command that users run. */
export const bin = fileURLToPath(new URL('../../../bin/vicregl.js', import.meta.url));

/** Where a command runs. Absent keys: the repository's command, and the folder and environment of this process. */
export interface Place {
  /** Path of bin/vicregl.js. */
  readonly program?: string;
  readonly cwd?: string;
  /** The complete environment. */
  readonly env?: Readonly<NodeJS.ProcessEnv>;
}

export interface ServedProcess {
  readonly child: ChildProcess;
  /** HOST:PORT of gRPC. */
  readonly address: string;
  /** HOST:PORT of HTTP. */
  readonly httpAddress: string;
  /** HOST:PORT of /metrics. */
  readonly metricsAddress: string;
  /** HOST:PORT of the admin calls. */
  readonly adminAddress: string;
}

/** Starts `vicregl serve` in its own process on free ports, and waits until it serves. */
export const startServedProcess = (...flags: string[]): Promise<ServedProcess> => startServedProcessIn({}, ...flags);

/** The same with additional environment variables. */
export const startServedProcessIn = (
  environment: Readonly<Record<string, string>>,
  ...flags: string[]
): Promise<ServedProcess> => startServedProcessWith({ env: { ...process.env, ...environment } }, ...flags);

/** The same for another package, in another folder, or with another environment. */
export async function startServedProcessWith(
  { program = bin, ...place }: Place,
  ...extra: string[]
): Promise<ServedProcess> {
  const listeners = ['--address', '--http-address', '--metrics-address', '--admin-address'].flatMap((flag) => [
    flag,
    '127.0.0.1:0',
  ]);
  const flags = [...listeners, '--device', 'cpu', ...extra];
  const child = spawn(process.execPath, [program, 'serve', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...place,
  });
  for await (const line of createInterface({ input: child.stdout! })) {
    const entry = JSON.parse(line) as Omit<ServedProcess, 'child'> & { msg: string };
    if (entry.msg !== 'serving') continue;
    child.stdout!.resume();
    const { address, httpAddress, metricsAddress, adminAddress } = entry;
    return { child, address, httpAddress, metricsAddress, adminAddress };
  }
  throw new Error('the service ended before it was ready');
}
