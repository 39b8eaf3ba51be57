import { isIP } from 'node:net';
import { type ChannelCredentials, credentials, InterceptingCall, type Interceptor } from '@grpc/grpc-js';
import { VicreglError } from './vicreglError.js';

/** TLS options. The values are contents of PEM files. */
export interface TlsOptions {
  /** CA certificates to trust. Default: those that Node trusts. */
  readonly ca?: Buffer;
  /** Client certificate with its chain, if the service requires one (mutual TLS). */
  readonly cert?: Buffer;
  /** Private key of `cert`. */
  readonly key?: Buffer;
  /** Expected name in the service's certificate. Default: the host of the address. */
  readonly serverName?: string;
}

/** Options for TLS and authentication. */
export interface SecurityOptions {
  /** Default: no TLS. `true` uses the CAs that Node trusts. */
  readonly tls?: TlsOptions | true;
  /** Bearer token of every call. */
  readonly token?: string;
  /**
   * Allows sending the token to other machines without TLS, where it can be read in transit. Default: false.
   */
  readonly tokenInClear?: boolean;
  /** Other gRPC credentials, instead of `tls`. */
  readonly credentials?: ChannelCredentials;
}

/** Credentials and options of a channel. */
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

/** The credentials of grpc-js for one target; not part of its public types. */
interface Connectable {
  _createSecureConnector?(...args: unknown[]): { readonly connectionOptions?: { servername?: string } };
}

/**
 * Does not send an IP address as the TLS server name (SNI): RFC 6066 allows only host names, and Node prints a warning. grpc-js
 * always sends the host of the address. The certificate is still verified against the address, since without a server name Node
 * uses the host.
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
    throw invalid('tls: cert and key must be used together; set both or neither');
  }
  try {
    return withoutAddressAsName(credentials.createSsl(ca ?? null, key ?? null, cert ?? null));
  } catch (cause) {
    throw invalid(`tls: ca, cert or key is not valid PEM: ${(cause as Error).message}`, cause);
  }
}

/** @throws VicreglError `INVALID_ARGUMENT` for options that cannot be combined, or a token that would be sent in clear text. */
export function channelSecurity(address: string, options: SecurityOptions): ChannelSecurity {
  const { tls, token, tokenInClear = false } = options;
  if (tls !== undefined && options.credentials !== undefined) {
    throw invalid('tls and credentials cannot be combined; use one of them');
  }
  if (token !== undefined) {
    if (!/^[\w.~+/-]+=*$/.test(token))
      throw invalid('token: contains characters that are not allowed in a bearer token');
    if (tls === undefined && options.credentials === undefined && !tokenInClear && !LOCAL.test(address)) {
      throw invalid(
        `token: without TLS it could be read in transit to ${address}; use tls, or allow it with tokenInClear`,
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
