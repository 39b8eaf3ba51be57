import { createServer } from 'node:net';
import { error, type Finding, messageOf, ok, warning } from './finding.js';

const CHECK = 'ports';

/** A listener of the configuration. */
export interface ConfiguredListener {
  /** Key of the configuration. */
  readonly key: string;
  /** Host without brackets. */
  readonly host: string;
  readonly port: number;
}

/** The code of the error with which a port cannot be bound; undefined if it can. It is released again. */
export function tryListen({ host, port }: ConfiguredListener): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (thrown: NodeJS.ErrnoException) => resolve(thrown.code ?? messageOf(thrown)));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

const adviceFor: Readonly<Record<string, string>> = {
  EADDRINUSE:
    'Another program listens there ("ss -ltnp" names it). Stop it, or choose another port with the key; the last three listeners ' +
    'can be switched off.',
  EACCES:
    'This user may not bind the port: below 1024 it takes CAP_NET_BIND_SERVICE. Choose a port from 1024 upwards, and map it where ' +
    'the service is published.',
  EADDRNOTAVAIL:
    'No interface of this machine has the address. Use 0.0.0.0 or [::] for all interfaces, 127.0.0.1 for this machine alone, or an ' +
    'address that "ip address" lists.',
};

const OTHERWISE = 'Check the address of the key: it is HOST:PORT, where HOST is an address of this machine.';

/**
 * Whether the addresses of the configuration can be bound.
 * @param runs whether a service already answers at the first of them; then taken ports are its own
 */
export async function checkPorts(
  listeners: readonly ConfiguredListener[],
  listen: (listener: ConfiguredListener) => Promise<string | undefined>,
  runs: () => Promise<boolean>,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  let running: boolean | undefined;
  for (const listener of listeners) {
    const place = `${listener.key}: ${listener.host.includes(':') ? `[${listener.host}]` : listener.host}:${listener.port}`;
    const code = await listen(listener);
    if (code === undefined) {
      findings.push(ok(CHECK, `${place} is free`));
      continue;
    }
    const advice = adviceFor[code] ?? OTHERWISE;
    if (code === 'EADDRINUSE') running ??= await runs();
    findings.push(
      code === 'EADDRINUSE' && running
        ? warning(
            CHECK,
            `${place} is in use, and a service answers`,
            `If that is this service, there is nothing to do. ${advice}`,
          )
        : error(CHECK, `${place} cannot be used (${code})`, advice),
    );
  }
  return findings;
}
