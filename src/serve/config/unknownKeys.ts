import { closestMatch } from 'leven';
import { configKeys } from './keys.js';

/** Variables that other parts of the command read, or `serve` itself outside the schema. */
const otherVariables = ['VICREGL_CONFIG', 'VICREGL_DEBUG', 'VICREGL_TOKEN', 'VICREGL_TOKEN_FILE', 'VICREGL_TLS_CA'];

/**
 * Kubernetes gives every container variables for every Service of its namespace (VICREGL_SERVICE_HOST,
 * VICREGL_PORT=tcp://..., VICREGL_PORT_50051_TCP_ADDR): those of a Service named vicregl are no mistakes of ours.
 */
function isServiceLink(name: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(name) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    (/_PORT$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value))
  );
}

/** `; did you mean x?`, or the names there are where none is near. */
export function suggestion(unknown: string, known: readonly string[]): string {
  const near = closestMatch(unknown, known, { maxDistance: Math.max(2, Math.floor(unknown.length / 3)) });
  return near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
}

/** Names of the file's keys. */
export const keyNames = (): string[] => configKeys().map(({ name }) => name);

/** What is wrong with the VICREGL_ variables, one line for each that nothing reads. */
export function unknownVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  const known = [...configKeys().flatMap((key) => key.env ?? []), ...otherVariables];
  return Object.entries(env)
    .filter(
      ([name, value]) => name.startsWith('VICREGL_') && !known.includes(name) && !isServiceLink(name, value ?? ''),
    )
    .map(([name]) => `${name} (environment): no such key; ${suggestion(name, known)}`);
}
