import { isIP } from 'node:net';
import { type ChannelCredentials, credentials, InterceptingCall, type Interceptor } from '@grpc/grpc-js';
import { VicreglError } from './vicreglError.js';

/** How the service's identity is checked, and ours is shown. Contents of PEM files. */
export interface TlsOptions {
  /** Authorities that are trusted. Default: those that Node trusts. */
  readonly ca?: Buffer;
  /** Our certificate, with its chain, where the service asks for one (mutual TLS). */
  readonly cert?: Buffer;
  /** Private key of `cert`. */
  readonly key?: Buffer;
  /** Name that the service's certificate must be for. Default: the host of the address. */
  readonly serverName?: string;
}

/** How a client reaches a service that is guarded. */
export interface SecurityOptions {
  /** Default: no TLS. `true` trusts the authorities that Node trusts. */
  readonly tls?: TlsOptions | true;
  /** Bearer token of every call. */
  readonly token?: string;
  /**
   * Sends the token without TLS to other machines too, where whoever carries the traffic can read it. Default false.
   */
  readonly tokenInClear?: boolean;
  /** Any other credentials of gRPC, in place of `tls`. */
  readonly credentials?: ChannelCredentials;
}

/** What a channel is opened with. */
export interface ChannelSecurity {
  readonly credentials: ChannelCredentials;
  readonly interceptors: Interceptor[];
  readonly options: Readonly<Record<string, string>>;
}

const invalid = (message: string, cause?: unknown): VicreglError =>
  new VicreglError('INVALID_ARGUMENT', message, cause === undefined ? {} : { cause });

/** Addresses that do not leave the machine. */
const LOCAL = /^((dns|ipv4|ipv6):(\/\/\/)?)?(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$|^unix:/;

function withToken(token: string): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        metadata.set('authorization', `Bearer ${token}`);
        next(metadata, listener);
      },
    });
}

/** What grpc-js makes of credentials for one target; not part of its types. */
interface Connectable {
  _createSecureConnector?(...args: unknown[]): { readonly connectionOptions?: { servername?: string } };
}

/**
 * Keeps an IP address out of the name that TLS sends (SNI), where RFC 6066 allows host names alone and Node warns of it. grpc-js
 * sends the host of the address whatever it is. The certificate is compared with the address all the same: Node takes the host
 * for that where there is no name.
 */
function withoutAddressAsName(made: ChannelCredentials): ChannelCredentials {
  const target = made as unknown as Connectable;
  const create = target._createSecureConnector?.bind(made);
  if (create === undefined) return made;
  target._createSecureConnector = (...args) => {
    const connector = create(...args);
    const { connectionOptions } = connector;
    if (connectionOptions?.servername !== undefined && isIP(connectionOptions.servername) !== 0) {
      delete connectionOptions.servername;
    }
    return connector;
  };
  return made;
}

function tlsCredentials({ ca, cert, key }: TlsOptions): ChannelCredentials {
  if ((cert === undefined) !== (key === undefined)) {
    throw invalid('tls: cert and key belong together; give both, or neither');
  }
  try {
    return withoutAddressAsName(credentials.createSsl(ca ?? null, key ?? null, cert ?? null));
  } catch (cause) {
    throw invalid(`tls: ca, cert or key is no PEM that can be used: ${(cause as Error).message}`, cause);
  }
}

/** @throws VicreglError `INVALID_ARGUMENT` for options that do not go together, or a token that would travel in clear. */
export function channelSecurity(address: string, options: SecurityOptions): ChannelSecurity {
  const { tls, token, tokenInClear = false } = options;
  if (tls !== undefined && options.credentials !== undefined) {
    throw invalid('tls and credentials exclude each other; give one of them');
  }
  if (token !== undefined) {
    if (!/^[\w.~+/-]+=*$/.test(token)) throw invalid('token: it has characters that no bearer token has');
    if (tls === undefined && options.credentials === undefined && !tokenInClear && !LOCAL.test(address)) {
      throw invalid(
        `token: without TLS it could be read on the way to ${address}; use tls, or allow it with tokenInClear`,
      );
    }
  }
  const tlsOptions = tls === true ? {} : tls;
  return {
    credentials: options.credentials ?? (tlsOptions ? tlsCredentials(tlsOptions) : credentials.createInsecure()),
    interceptors: token === undefined ? [] : [withToken(token)],
    options:
      tlsOptions?.serverName === undefined
        ? {}
        : {
            'grpc.ssl_target_name_override': tlsOptions.serverName,
            'grpc.default_authority': tlsOptions.serverName,
          },
  };
}
