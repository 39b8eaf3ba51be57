import { ServeError } from '../serveError.js';

/**
 * Splits HOST:PORT; an IPv6 host stands in brackets.
 * @throws ServeError `invalid_argument` naming the option.
 */
export function parseAddress(address: string, option: string): { readonly host: string; readonly port: number } {
  const parts = /^(\[[^\]]+\]|[^:[\]]+):(\d{1,5})$/.exec(address);
  const port = Number(parts?.[2]);
  if (!parts || port > 65535) {
    throw new ServeError('invalid_argument', `${option}: "${address}" is not HOST:PORT, such as 127.0.0.1:50051`);
  }
  return { host: parts[1]!, port };
}
