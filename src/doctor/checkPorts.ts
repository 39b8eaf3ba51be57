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

/** A port that is bound until it is released, or the code of the error with which it cannot be bound. */
type Bound = { readonly release: () => Promise<void> } | { readonly code: string };

export function tryListen({ host, port }: ConfiguredListener): Promise<Bound> {
  return new Promise((resolve) => {
    // Whoever connects meanwhile would keep it from closing.
    const server = createServer((socket) => socket.destroy());
    server.once('error', (thrown: NodeJS.ErrnoException) => resolve({ code: thrown.code ?? messageOf(thrown) }));
    const release = () => new Promise<void>((done) => server.close(() => done()));
    server.listen({ host, port, exclusive: true }, () => resolve({ release }));
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
 * Whether the addresses of the configuration can be bound, all at once.
 * @param runs whether a service already answers at the first of them; then taken ports are its own
 */
export async function checkPorts(
  listeners: readonly ConfiguredListener[],
  listen: (listener: ConfiguredListener) => Promise<Bound>,
  runs: () => Promise<boolean>,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const held: { readonly listener: ConfiguredListener; readonly release: () => Promise<void> }[] = [];
  let running: boolean | undefined;
  for (const listener of listeners) {
    const place = `${listener.key}: ${listener.host.includes(':') ? `[${listener.host}]` : listener.host}:${listener.port}`;
    const bound = await listen(listener);
    if ('release' in bound) {
      held.push({ listener, release: bound.release });
      findings.push(ok(CHECK, `${place} is free`));
      continue;
    }
    const { code } = bound;
    // Such as localhost beside 127.0.0.1, of which the configuration cannot know that they are one.
    const ours = held.find((each) => code === 'EADDRINUSE' && each.listener.port === listener.port);
    if (ours) {
      const advice = 'Give each listener a port of its own, or switch one off.';
      findings.push(error(CHECK, `${place} is taken by ${ours.listener.key} of the same configuration`, advice));
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
  await Promise.all(held.map(({ release }) => release()));
  return findings;
}
