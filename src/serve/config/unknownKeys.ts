import { closestMatch } from 'leven';
import { configKeys } from './keys.js';

/** Variables that are read outside the schema, by `serve` or other parts of the command. */
const otherVariables = ['VICREGL_CONFIG', 'VICREGL_DEBUG', 'VICREGL_TOKEN', 'VICREGL_TOKEN_FILE', 'VICREGL_TLS_CA'];

/**
 * Kubernetes sets variables in every container for every Service of its namespace (VICREGL_SERVICE_HOST,
 * VICREGL_PORT=tcp://..., VICREGL_PORT_50051_TCP_ADDR): those of a Service named vicregl are not configuration errors.
 */
function isServiceLink(name: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(name) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    (/_PORT$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value))
  );
}

/** `did you mean x?`, or the known names if none is similar. */
export function suggestion(unknown: string, known: readonly string[]): string {
  const near = closestMatch(unknown, known, { maxDistance: Math.max(2, Math.floor(unknown.length / 3)) });
  return near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
}

/** Names of all keys. */
export const keyNames = (): string[] => configKeys().map(({ name }) => name);

/** One problem for each unknown VICREGL_ variable. */
export function unknownVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  const known = [...configKeys().flatMap((key) => key.env ?? []), ...otherVariables];
  return Object.entries(env)
    .filter(
      ([name, value]) => name.startsWith('VICREGL_') && !known.includes(name) && !isServiceLink(name, value ?? ''),
    )
    .map(([name]) => `${name} (environment): no such key; ${suggestion(name, known)}`);
}
