import { z } from 'zod';
import { addressPattern, isLoopback, parseAddress } from './address.js';
import { path } from './fields.js';

const rate = z.number().gt(0).max(1_000_000);
const burst = z.int().min(1).max(1_000_000);

/** A bearer token: a name for logs, and the hash of the secret (`vicregl token`). */
export const tokenSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.-]{1,64}$/, 'is not a valid name: use 1 to 64 letters, digits, dots, dashes or underscores')
    .describe('Name of the token holder, for logs.'),
  sha256: z
    .string()
    .regex(
      /^[0-9a-f]{64}$/,
      'is not a SHA-256 hash: use 64 lower-case hexadecimal digits, as printed by "vicregl token"',
    )
    .describe('SHA-256 of the token, in hexadecimal.'),
  requestsPerSecond: rate
    .optional()
    .describe('Sustained calls per second. Default: the configuration key of the same name.'),
  burst: burst.optional().describe('Maximum burst of calls. Default: the configuration key of the same name.'),
  admin: z.boolean().default(false).describe('Whether the token also gives access to the admin listener.'),
});

/** Why an entry with an unknown key is not accepted. The key is not shown: it may be a token in the wrong place. */
export const unknownTokenKey = `has a key that is not known; use ${Object.keys(tokenSchema.shape).join(', ')}`;

/** One token. */
export type TokenEntry = z.output<typeof tokenSchema>;

const certificate = 'PEM file, reloaded on SIGHUP';

/** Path of a PEM file. */
const pemPath = path.refine(
  (text) => !text.includes('-----BEGIN'),
  'is the content of a PEM file; give the path of the file',
);

export const securityKeys = {
  tlsCert: pemPath.optional().describe(`Certificate chain of the server: ${certificate}. With tlsKey, gRPC uses TLS.`),
  tlsKey: pemPath.optional().describe(`Private key of tlsCert: ${certificate}.`),
  tlsClientCa: pemPath
    .optional()
    .describe(
      `CA certificates for client certificates: ${certificate}. Calls then require a client certificate (mutual TLS).`,
    ),
  tokensFile: path
    .optional()
    .describe('YAML or JSON list of tokens (name, sha256, requestsPerSecond, burst, admin), reloaded on SIGHUP.'),
  tokens: z
    .array(tokenSchema)
    .max(10_000)
    .optional()
    .describe('The same list within the configuration file. With tokensFile or tokens, calls require a bearer token.'),
  openHealth: z
    .boolean()
    .default(true)
    .describe(
      'Whether grpc.health.v1, and ServerLive and ServerReady of the Open Inference Protocol, can be called without a token.',
    ),
  requestsPerSecond: rate
    .optional()
    .describe('Sustained calls per second for each token whose entry does not set it. Default: no limit.'),
  burst: burst
    .optional()
    .describe(
      'Maximum burst of calls for each token, beyond which requestsPerSecond applies. Default: the calls of one second, at least 1.',
    ),
};

/** The keys that are checked in combination. */
interface SecurityConfig {
  readonly adminAddress: string;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly tlsClientCa?: string | undefined;
  readonly tokensFile?: string | undefined;
  readonly tokens?: readonly TokenEntry[] | undefined;
}

/** Problems of keys that are valid individually but not in combination. */
export function securityProblems(config: SecurityConfig): { key: keyof SecurityConfig; message: string }[] {
  const { adminAddress, tlsCert, tlsKey, tlsClientCa, tokensFile, tokens } = config;
  const problems: { key: keyof SecurityConfig; message: string }[] = [];
  if (tlsCert !== undefined && tlsKey === undefined) problems.push({ key: 'tlsCert', message: 'requires tlsKey' });
  if (tlsKey !== undefined && tlsCert === undefined) problems.push({ key: 'tlsKey', message: 'requires tlsCert' });
  if (tlsClientCa !== undefined && tlsCert === undefined) {
    problems.push({ key: 'tlsClientCa', message: 'requires tlsCert and tlsKey' });
  }
  // Another address, such as `off`, has a problem of its own or none.
  const open = addressPattern.test(adminAddress) && !isLoopback(parseAddress(adminAddress, 'adminAddress').host);
  // The contents of a tokens file are checked when it is read.
  if (open && tokensFile === undefined && !tokens?.some(({ admin }) => admin)) {
    problems.push({
      key: 'adminAddress',
      message:
        'is not on loopback and therefore requires a token with admin: true (tokensFile); otherwise use 127.0.0.1:9465 or off',
    });
  }
  return problems;
}
