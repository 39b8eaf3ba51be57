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

/** A flag parser that validates with the token schema. */
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

/** `vicregl token`: creates a bearer token and its entry for a service. */
export function registerToken(program: Command): void {
  program
    .command('token')
    .description(
      'Create a bearer token for a service. Prints the token, which only its holder keeps, and its entry for tokensFile, which contains only a hash.',
    )
    .requiredOption('--name <name>', 'name of the holder, for the logs of the service', checked('name', String))
    .option(
      '--requests-per-second <n>',
      'sustained calls per second (default: that of the service)',
      checked('requestsPerSecond', number),
    )
    .option('--burst <n>', 'maximum burst of calls (default: that of the service)', checked('burst', number))
    .option('--admin', 'the token also gives access to the admin listener', false)
    .action(({ name, requestsPerSecond, burst, admin }: TokenFlags) => {
      const token = createToken();
      const sha256 = hashToken(token).toString('hex');
      const entry = { name, sha256, requestsPerSecond, burst, ...(admin && { admin }) };
      process.stdout.write(`${token}\n${stringify([entry], { lineWidth: 0 })}`);
    });
}
