import type { Http2SecureServer, Http2Server, ServerOptions } from 'node:http2';
import type { Server } from '@grpc/grpc-js';

/** What grpc-js 1.14 keeps to itself, and has no option for. */
interface Inner {
  readonly commonServerOptions?: ServerOptions;
  readonly http2Servers?: ReadonlyMap<Http2Server | Http2SecureServer, unknown>;
}

/** Fails at the start, where another release of grpc-js has changed what is used of it, and not in silence. */
function missing(what: string): Error {
  return new Error(`grpc-js has no ${what} any more; src/serve/transport/http2Servers.ts was written for 1.14`);
}

/**
 * Sets options of the HTTP/2 servers that a gRPC server will make; to be called before it is bound.
 * @throws Error where grpc-js is not the release that this is written for.
 */
export function setHttp2Options(server: Server, { settings, ...options }: ServerOptions): void {
  const { commonServerOptions } = server as unknown as Inner;
  if (!commonServerOptions) throw missing('commonServerOptions');
  Object.assign(commonServerOptions, options, { settings: { ...commonServerOptions.settings, ...settings } });
}

/**
 * The HTTP/2 servers of a gRPC server, one for each address that it is bound to.
 * @throws Error where grpc-js is not the release that this is written for.
 */
export function http2ServersOf(server: Server): readonly (Http2Server | Http2SecureServer)[] {
  const { http2Servers } = server as unknown as Inner;
  if (!http2Servers || http2Servers.size === 0) throw missing('http2Servers');
  return [...http2Servers.keys()];
}
