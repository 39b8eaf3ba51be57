import { isIPv4 } from 'node:net';
import { ServeError } from '../call/serveError.js';

/** HOST:PORT with a port up to 65535; an IPv6 host is in brackets. */
export const addressPattern =
  /^(\[[^\]]+\]|[^:[\]]+):(0*(?:\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5]))$/;

/**
 * Splits HOST:PORT; an IPv6 host is in brackets.
 * @throws ServeError `invalid_argument` naming the option.
 */
export function parseAddress(address: string, option: string): { readonly host: string; readonly port: number } {
  const parts = addressPattern.exec(address);
  if (!parts) {
    throw new ServeError('invalid_argument', `${option}: "${address}" is not HOST:PORT, such as 127.0.0.1:50051`);
  }
  return { host: parts[1]!, port: Number(parts[2]) };
}

/** Whether only this machine can reach a host: 127.0.0.0/8, ::1 or localhost. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || /^127(\.\d{1,3}){3}$/.test(host) || /^(\[::1\]|::1)$/.test(host);
}

/** Hosts that grpc-js would read as the scheme of a target: `unix:50051` is the socket file 50051. */
export const isScheme = (address: string): boolean => /^(dns|ipv4|ipv6|unix):/i.test(address);

/**
 * Whether two addresses cannot be bound at once, as far as their texts tell: one port, and one host or a host that stands for all.
 * Addresses that are not HOST:PORT, and port 0, never collide.
 */
export function collide(one: string, other: string): boolean {
  const [a, b] = [one, other].map((address) => {
    const [, host = '', port = '0'] = addressPattern.exec(address) ?? [];
    return { host: host.toLowerCase().replace(/^\[|\]$/g, ''), port: Number(port) };
  }) as [{ host: string; port: number }, { host: string; port: number }];
  if (a.port === 0 || a.port !== b.port) return false;
  // Node binds [::] for IPv4 too.
  const isAll = (all: string, host: string): boolean => all === '::' || (all === '0.0.0.0' && isIPv4(host));
  return a.host === b.host || isAll(a.host, b.host) || isAll(b.host, a.host);
}
