import { z } from 'zod';
import { readYaml, ServeConfigError } from '../../config/configFile.js';
import { type TokenEntry, tokenSchema } from '../../config/securityKeys.js';

/**
 * Refuses entries that share a name or a hash.
 * @throws ServeConfigError naming them, not the hash.
 */
function checkDistinct(entries: readonly TokenEntry[], where: string): void {
  const problems = entries.flatMap(({ name, sha256 }, i) => {
    const before = entries.slice(0, i);
    if (before.some((other) => other.name === name)) return [`${where}: the name ${name} stands twice`];
    const twin = before.find((other) => other.sha256 === sha256);
    return twin ? [`${where}: ${twin.name} and ${name} have the same token`] : [];
  });
  if (problems.length > 0) throw new ServeConfigError(problems);
}

/**
 * Reads a list of tokens: YAML or JSON, as `vicregl token` prints its entries.
 * @throws ServeConfigError naming the file and entry; no value is shown, since a token may stand where its hash should.
 */
async function readTokensFile(path: string): Promise<TokenEntry[]> {
  const content = await readYaml(path, 'tokensFile');
  if (!Array.isArray(content) || content.length === 0) {
    throw new ServeConfigError([`tokensFile ${path} is no list of tokens, as "vicregl token" prints its entries`]);
  }
  const { success, data, error } = z.array(tokenSchema).safeParse(content);
  if (success) return data;
  throw new ServeConfigError(
    error.issues.map(({ path: [entry, ...key], message }) => {
      const where = `tokensFile ${path}: entry ${Number(entry) + 1}`;
      return key.length > 0 ? `${where}: ${key.join('.')}: ${message}` : `${where}: ${message}`;
    }),
  );
}

/** Where tokens are configured. */
export interface TokenSources {
  readonly tokens?: readonly TokenEntry[] | undefined;
  readonly tokensFile?: string | undefined;
}

/**
 * All tokens of the configuration and its file; undefined where calls need none.
 * @throws ServeConfigError naming the file and entry that is wrong.
 */
export async function readTokens({ tokens, tokensFile }: TokenSources): Promise<TokenEntry[] | undefined> {
  if (tokens === undefined && tokensFile === undefined) return undefined;
  const entries = [...(tokens ?? []), ...(tokensFile === undefined ? [] : await readTokensFile(tokensFile))];
  if (entries.length === 0) {
    throw new ServeConfigError([
      'tokens: the list is empty, so that nobody could call; leave the key out to let everyone call',
    ]);
  }
  checkDistinct(entries, tokensFile === undefined ? 'tokens' : `tokens and tokensFile ${tokensFile}`);
  return entries;
}
