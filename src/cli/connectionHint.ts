import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { SecurityOptions } from '../client/security.js';
import { VicreglError } from '../client/vicreglError.js';
import { parseAddress } from '../serve/config/address.js';

/** Timeout for the probe whether a service uses TLS, in ms. */
const PROBE_MS = 2000;

const NOT_ACCEPTED =
  'the service does not accept the client certificate; pass one that is signed by its CA with --tls-cert and --tls-key';

/** Messages of OpenSSL, Node and grpc-js for TLS failures, and their causes. Texts, since grpc-js does not pass on error codes. */
const TLS_FAILURES: readonly (readonly [RegExp, string])[] = [
  [
    /wrong version number|packet length too long|http request/,
    'the service does not use TLS; remove --tls, --tls-ca and the other TLS flags',
  ],
  [/certificate has expired/, "the service's certificate has expired; renew it on the server"],
  [/certificate is not yet valid/, "the service's certificate is not valid yet; check the clocks of both machines"],
  [
    /ALTNAME_INVALID|does not match certificate's altnames/,
    "the service's certificate is for other names; connect with one of them, or set one with --tls-server-name",
  ],
  [
    /alert (certificate required|handshake failure)/,
    'the service requires a client certificate; pass one with --tls-cert and --tls-key',
  ],
  [/alert (unknown ca|bad certificate|certificate (unknown|expired|revoked))/, NOT_ACCEPTED],
  [
    /unable to (verify|get)|self[- ]signed certificate|certificate signature failure/,
    "the service's certificate is not signed by a trusted CA; pass its CA with --tls-ca",
  ],
];

/** Whether a server at an address uses TLS. */
function speaksTls(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const { host, port } = parseAddress(address, 'address');
    const name = host.replace(/^\[|\]$/g, '');
    // No data is sent, so the certificate need not be verified.
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
    // A service that requires a client certificate answers with an alert.
    socket.once('error', ({ message }) => settle(/ alert /.test(message)));
  });
}

async function remedyOf(message: string, address: string, { tls }: SecurityOptions): Promise<string | undefined> {
  if (tls !== undefined) {
    const known = TLS_FAILURES.find(([text]) => text.test(message))?.[1];
    // A Node server closes the connection without an alert.
    const refused = tls !== true && tls.cert !== undefined && /Failed to connect/.test(message);
    return known ?? (refused ? NOT_ACCEPTED : undefined);
  }
  if (/ECONNREFUSED|ENOTFOUND|EHOSTUNREACH/.test(message)) return undefined;
  return (await speaksTls(address).catch(() => false))
    ? 'the service uses TLS; pass its CA with --tls-ca, or use --tls if this machine trusts it'
    : undefined;
}

/** The message of grpc-js for a lost connection, on one line and without the words that each of its load balancers adds. */
const plainly = (message: string): string =>
  message
    .replace(/\s*\n\s*/g, ' ')
    .replace(/^(?:round_robin: )?(?:No connection established\. Last error: (?:Error: )?)+/, '')
    .replace(/\.?\s*Resolution note:\s*$/, '');

/**
 * Adds a remedy to the error of a command that calls a service: if there was no answer, whether TLS is the reason; if a token is
 * missing, how to pass it. Other errors of the service are returned unchanged.
 * @param otherwise remedy if the cause is unknown
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
    const text = `${message}; with this command: --token-file FILE, or the environment variable VICREGL_TOKEN`;
    return new VicreglError(code, text, { cause: error, reason });
  }
  if (code !== 'UNAVAILABLE' || reason !== undefined) return error;
  const known = await remedyOf(message, address, security);
  const text = known ?? `(${plainly(message)}); ${otherwise}`;
  return new VicreglError(code, `no answer from ${address}${known === undefined ? ' ' : ': '}${text}`, {
    cause: error,
  });
}
