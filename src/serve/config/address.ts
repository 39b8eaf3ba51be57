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
