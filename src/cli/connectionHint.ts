import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { SecurityOptions } from '../client/security.js';
import { VicreglError } from '../client/vicreglError.js';
import { parseAddress } from '../serve/config/address.js';

/** Longest wait for an answer to the question whether a service speaks TLS, in ms. */
const PROBE_MS = 2000;

const NOT_ACCEPTED =
  'the service does not accept our certificate; give one that its authorities signed with --tls-cert and --tls-key';

/** What OpenSSL, Node and grpc-js write where TLS fails, and what it comes from. Texts, since grpc-js hands on no codes. */
const TLS_FAILURES: readonly (readonly [RegExp, string])[] = [
  [
    /wrong version number|packet length too long|http request/,
    'the service speaks no TLS; leave --tls, --tls-ca and the other flags of TLS out',
  ],
  [/certificate has expired/, "the service's certificate has expired; it has to be renewed there"],
  [/certificate is not yet valid/, "the service's certificate is not valid yet; compare the clocks of both machines"],
  [
    /ALTNAME_INVALID|does not match certificate's altnames/,
    "the service's certificate is for other names; reach it by one of them, or give one with --tls-server-name",
  ],
  [
    /alert (certificate required|handshake failure)/,
    'the service asks for a certificate of the caller; give yours with --tls-cert and --tls-key',
  ],
  [/alert (unknown ca|bad certificate|certificate (unknown|expired|revoked))/, NOT_ACCEPTED],
  [
    /unable to (verify|get)|self[- ]signed certificate|certificate signature failure/,
    "the service's certificate is of no authority that is trusted here; give its authority with --tls-ca",
  ],
];

/** Whether TLS is answered at an address. */
function speaksTls(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const { host, port } = parseAddress(address, 'address');
    const name = host.replace(/^\[|\]$/g, '');
    // Nothing is sent over it: whose certificate it is does not matter.
    const socket = connect({
      host: name,
      port,
      ...(isIP(name) === 0 && { servername: name }),
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
      timeout: PROBE_MS,
    });
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('secureConnect', () => settle(true));
    socket.once('timeout', () => settle(false));
    // A service that wants our certificate first answers with an alert.
    socket.once('error', ({ message }) => settle(/ alert /.test(message)));
  });
}

async function wayOut(message: string, address: string, { tls }: SecurityOptions): Promise<string | undefined> {
  if (tls !== undefined) {
    const known = TLS_FAILURES.find(([text]) => text.test(message))?.[1];
    // A service of Node ends the connection without a word.
    const refused = tls !== true && tls.cert !== undefined && /Failed to connect/.test(message);
    return known ?? (refused ? NOT_ACCEPTED : undefined);
  }
  if (/ECONNREFUSED|ENOTFOUND|EHOSTUNREACH/.test(message)) return undefined;
  return (await speaksTls(address).catch(() => false))
    ? 'the service speaks TLS; give its authority with --tls-ca, or --tls where this machine trusts it'
    : undefined;
}

/**
 * An error of a command that calls a service, with what to do about it: where nobody answered, whether TLS is the reason, and
 * where a token is missing, how it is given. What the service itself says stays as it is.
 * @param otherwise the way out where nothing more is known
 */
export async function hinted(
  error: unknown,
  address: string,
  security: SecurityOptions,
  otherwise: string,
): Promise<unknown> {
  if (!(error instanceof VicreglError)) return error;
  const { code, reason, message } = error;
  if (code === 'UNAUTHENTICATED') {
    const text = `${message}; here: --token-file FILE, or VICREGL_TOKEN in the environment`;
    return new VicreglError(code, text, { cause: error, reason });
  }
  if (code !== 'UNAVAILABLE' || reason !== undefined) return error;
  const known = await wayOut(message, address, security);
  const text = known ?? `(${message.replace(/\s*\n\s*/g, ' ')}); ${otherwise}`;
  return new VicreglError(code, `no answer from ${address}${known === undefined ? ' ' : ': '}${text}`, {
    cause: error,
  });
}
