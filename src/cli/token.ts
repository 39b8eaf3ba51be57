import { type Command, InvalidArgumentError } from 'commander';
import { stringify } from 'yaml';
import { tokenSchema } from '../serve/config/securityKeys.js';
import { createToken, hashToken } from '../serve/operations/auth/tokenStore.js';

interface TokenFlags {
  readonly name: string;
  readonly requestsPerSecond?: number;
  readonly burst?: number;
  readonly admin: boolean;
}

/** A parser of flags that the schema of tokens checks. */
function checked(
  key: 'name' | 'requestsPerSecond' | 'burst',
  read: (text: string) => unknown,
): (text: string) => unknown {
  return (text) => {
    const { success, data, error } = tokenSchema.shape[key].safeParse(read(text));
    if (success) return data;
    throw new InvalidArgumentError(`It ${error.issues[0]!.message}.`);
  };
}

const number = (text: string): unknown => (text.trim() === '' ? text : Number(text));

/** `vicregl token`: makes a bearer token, and the entry that lets a service know it. */
export function registerToken(program: Command): void {
  program
    .command('token')
    .description(
      'Make a bearer token for a service. Prints the token, to be kept by its holder, and then its entry for tokensFile, which holds its hash alone.',
    )
    .requiredOption('--name <name>', 'who holds it, for the logs of the service', checked('name', String))
    .option(
      '--requests-per-second <n>',
      "calls per second in the long run (default: the service's)",
      checked('requestsPerSecond', number),
    )
    .option('--burst <n>', "calls at once (default: the service's)", checked('burst', number))
    .option('--admin', 'the token also opens the admin listener', false)
    .action(({ name, requestsPerSecond, burst, admin }: TokenFlags) => {
      const token = createToken();
      const sha256 = hashToken(token).toString('hex');
      const entry = { name, sha256, requestsPerSecond, burst, ...(admin && { admin }) };
      process.stdout.write(`${token}\n${stringify([entry], { lineWidth: 0 })}`);
    });
}
