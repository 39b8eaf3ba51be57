import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import type { SecurityOptions, TlsOptions } from '../client/security.js';
import { VicreglError } from '../client/vicreglError.js';
import { fileProblem } from '../files/fileProblem.js';

/** TLS and token for a service. */
export interface SecurityFlags {
  readonly tls: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
  readonly tokenFile?: string;
  readonly tokenInClear: boolean;
}

const group = 'TLS and token:';

/** The options of these flags. */
export const securityFlagNames = [
  'tls',
  'tlsCa',
  'tlsCert',
  'tlsKey',
  'tlsServerName',
  'tokenFile',
  'tokenInClear',
] as const satisfies readonly (keyof SecurityFlags)[];

/** Adds --tls, --tls-ca, --tls-cert, --tls-key, --tls-server-name, --token-file and --token-in-clear. */
export function addSecurityFlags(command: Command): Command {
  const flags = [
    new Option('--tls', 'connect with TLS, using the CAs that Node trusts').default(false),
    new Option('--tls-ca <file>', 'PEM file of CAs to trust instead; implies --tls').env('VICREGL_TLS_CA'),
    new Option('--tls-cert <file>', 'PEM file of the client certificate, for mutual TLS'),
    new Option('--tls-key <file>', 'PEM file of its private key'),
    new Option(
      '--tls-server-name <name>',
      "expected name in the service's certificate (default: the host of --address)",
    ),
    new Option('--token-file <file>', 'file with the bearer token; the token itself can also be in VICREGL_TOKEN').env(
      'VICREGL_TOKEN_FILE',
    ),
    new Option('--token-in-clear', 'send the token without TLS even to other machines').default(false),
  ];
  for (const flag of flags) command.addOption(flag.helpGroup(group));
  return command;
}

async function read(flag: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new VicreglError('INVALID_ARGUMENT', `${flag}: ${path} cannot be read: ${fileProblem(cause)}`, {
      cause,
    });
  }
}

async function readTls(flags: SecurityFlags): Promise<TlsOptions | true | undefined> {
  const { tls, tlsCa, tlsCert, tlsKey, tlsServerName } = flags;
  if (![tlsCa, tlsCert, tlsKey, tlsServerName].some((flag) => flag !== undefined)) return tls || undefined;
  return {
    ...(tlsCa !== undefined && { ca: await read('--tls-ca', tlsCa) }),
    ...(tlsCert !== undefined && { cert: await read('--tls-cert', tlsCert) }),
    ...(tlsKey !== undefined && { key: await read('--tls-key', tlsKey) }),
    ...(tlsServerName !== undefined && { serverName: tlsServerName }),
  };
}

async function readToken({ tokenFile }: SecurityFlags, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  if (tokenFile !== undefined) return (await read('--token-file', tokenFile)).toString('utf8').trim();
  return env['VICREGL_TOKEN'] || undefined;
}

/**
 * The client's options for TLS and token. A token is never passed as a flag, since other users of the machine can see flags.
 * @throws VicreglError `INVALID_ARGUMENT` naming the file that cannot be read.
 */
export async function readSecurity(flags: SecurityFlags, env: NodeJS.ProcessEnv): Promise<SecurityOptions> {
  const [tls, token] = [await readTls(flags), await readToken(flags, env)];
  return {
    ...(tls !== undefined && { tls }),
    ...(token !== undefined && { token }),
    tokenInClear: flags.tokenInClear,
  };
}
