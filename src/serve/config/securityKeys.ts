import { z } from 'zod';
import { isLoopback, parseAddress } from './address.js';
import { path } from './fields.js';

const rate = z.number().gt(0).max(1_000_000);
const burst = z.int().min(1).max(1_000_000);

/** Who may call: a name for logs, and the hash of the secret (`vicregl token`). */
export const tokenSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.-]{1,64}$/, 'is no name: 1 to 64 letters, digits, dots, dashes or underscores')
    .describe('Name of the holder, for logs.'),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'is no SHA-256 hash: 64 hexadecimal digits in lower case, as "vicregl token" prints them')
    .describe('SHA-256 of the token, hexadecimal.'),
  requestsPerSecond: rate.optional().describe('Calls per second in the long run. Absent: the key of this name.'),
  burst: burst.optional().describe('Calls at once. Absent: the key of this name.'),
  admin: z.boolean().default(false).describe('Whether the token also opens the admin listener.'),
});

/** One holder of a token. */
export type TokenEntry = z.output<typeof tokenSchema>;

const certificate = 'PEM file, read again on SIGHUP';

export const securityKeys = {
  tlsCert: path
    .optional()
    .describe(`Certificate of the server with its chain: ${certificate}. With tlsKey: gRPC over TLS.`),
  tlsKey: path.optional().describe(`Private key of tlsCert: ${certificate}.`),
  tlsClientCa: path
    .optional()
    .describe(
      `Certificates of the authorities that sign clients': ${certificate}. Calls then need a client certificate.`,
    ),
  tokensFile: path
    .optional()
    .describe('YAML or JSON list of tokens (name, sha256, requestsPerSecond, burst, admin), read again on SIGHUP.'),
  tokens: z
    .array(tokenSchema)
    .max(10_000)
    .optional()
    .describe('The same list within the configuration file. With tokensFile or tokens, calls need a bearer token.'),
  openHealth: z.boolean().default(true).describe('Whether grpc.health.v1 answers without a token.'),
  requestsPerSecond: rate
    .optional()
    .describe('Calls per second of each token in the long run, where its entry has no other. Absent: no limit.'),
  burst: burst
    .optional()
    .describe('Calls of each token at once before requestsPerSecond holds. Absent: those of one second, at least 1.'),
};

/** The keys that the checks between keys look at. */
interface SecurityConfig {
  readonly adminAddress: string;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly tlsClientCa?: string | undefined;
  readonly tokensFile?: string | undefined;
  readonly tokens?: readonly TokenEntry[] | undefined;
}

/** What is wrong between keys that are right by themselves. */
export function securityProblems(config: SecurityConfig): { key: keyof SecurityConfig; message: string }[] {
  const { adminAddress, tlsCert, tlsKey, tlsClientCa, tokensFile, tokens } = config;
  const problems: { key: keyof SecurityConfig; message: string }[] = [];
  if (tlsCert !== undefined && tlsKey === undefined)
    problems.push({ key: 'tlsCert', message: 'needs tlsKey beside it' });
  if (tlsKey !== undefined && tlsCert === undefined)
    problems.push({ key: 'tlsKey', message: 'needs tlsCert beside it' });
  if (tlsClientCa !== undefined && tlsCert === undefined) {
    problems.push({ key: 'tlsClientCa', message: 'needs tlsCert and tlsKey beside it' });
  }
  const open = adminAddress !== 'off' && !isLoopback(parseAddress(adminAddress, 'adminAddress').host);
  // What stands in a tokens file is seen when it is read.
  if (open && tokensFile === undefined && !tokens?.some(({ admin }) => admin)) {
    problems.push({
      key: 'adminAddress',
      message: 'is not on loopback: it needs a token with admin: true (tokensFile), or use 127.0.0.1:9465 or off',
    });
  }
  return problems;
}
