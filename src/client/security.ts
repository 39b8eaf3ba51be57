import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type ChannelCredentials, credentials, InterceptingCall, type Interceptor } from '@grpc/grpc-js';
import { bool } from './bool.js';
import { VicreglError } from './vicreglError.js';

/** TLS: the trusted authorities, and the client's own certificate. Contents of PEM files. */
export interface TlsOptions {
  /** Trusted certificate authorities. Default: those of Node. */
  readonly ca?: Buffer;
  /** The client's certificate with its chain, if the service requires one (mutual TLS). */
  readonly cert?: Buffer;
  /** Private key of `cert`. */
  readonly key?: Buffer;
  /** Name that the service's certificate must have. Default: the host of the address. */
  readonly serverName?: string;
}

/** TLS and credentials of a client. */
export interface SecurityOptions {
  /** Default: no TLS. `true` trusts the authorities of Node. */
  readonly tls?: TlsOptions | true;
  /** Bearer token sent with every call. */
  readonly token?: string;
  /**
   * Allows sending the token without TLS to other machines, where anyone on the network path can read it. Default false.
   */
  readonly tokenInClear?: boolean;
  /** Any other gRPC credentials, instead of `tls`. */
  readonly credentials?: ChannelCredentials;
}

/** What a channel is created with. */
export interface ChannelSecurity {
  readonly credentials: ChannelCredentials;
  readonly interceptors: Interceptor[];
  readonly options: Readonly<Record<string, string>>;
}

const invalid = (message: string, cause?: unknown): VicreglError =>
  new VicreglError('INVALID_ARGUMENT', message, cause === undefined ? {} : { cause });

/** Addresses of this machine. */
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

/** The connector that grpc-js creates from credentials for one target; not part of its types. */
interface Connectable {
  _createSecureConnector?(...args: unknown[]): { readonly connectionOptions?: { servername?: string } };
}

/**
 * Removes an IP address from the server name that TLS sends (SNI): RFC 6066 allows only host names, and Node warns otherwise.
 * grpc-js always sends the host of the address. The certificate is still checked against the address, since Node uses the host
 * if there is no server name.
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
    // Node ignores authorities that it cannot read.
    if (ca !== undefined) new X509Certificate(ca);
    return withoutAddressAsName(credentials.createSsl(ca ?? null, key ?? null, cert ?? null));
  } catch (cause) {
    throw invalid(`tls: ca, cert or key is not a usable PEM file: ${(cause as Error).message}`, cause);
  }
}

/**
 * @throws VicreglError `INVALID_ARGUMENT` for an address that is no text, options that exclude each other, files that are no PEM, or a
 *   token that would be sent in clear text.
 */
export function channelSecurity(address: string, options: SecurityOptions): ChannelSecurity {
  const { tls, token, tokenInClear = false } = options;
  if (typeof address !== 'string' || address === '') {
    throw invalid(`address: ${address === '' ? 'an empty text' : String(address)} is not an address; give HOST:PORT`);
  }
  if (tls !== undefined && options.credentials !== undefined) {
    throw invalid('tls and credentials cannot be combined; use one of them');
  }
  if (token !== undefined) {
    if (!/^[\w.~+/-]+=*$/.test(token)) throw invalid('token: it has characters that a bearer token may not have');
    if (
      tls === undefined &&
      options.credentials === undefined &&
      !bool('tokenInClear', tokenInClear) &&
      !LOCAL.test(address)
    ) {
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
