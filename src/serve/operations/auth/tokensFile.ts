import { z } from 'zod';
import { readYaml, ServeConfigError } from '../../config/configFile.js';
import { type TokenEntry, tokenSchema, unknownTokenKey } from '../../config/securityKeys.js';

/**
 * Rejects entries with the same name or the same hash.
 * @throws ServeConfigError with their names, without the hash.
 */
function checkDistinct(entries: readonly TokenEntry[], where: string): void {
  const problems = entries.flatMap(({ name, sha256 }, i) => {
    const before = entries.slice(0, i);
    if (before.some((other) => other.name === name))
      return [`${where}: the name ${name} occurs twice; each name may occur once`];
    const twin = before.find((other) => other.sha256 === sha256);
    return twin ? [`${where}: ${twin.name} and ${name} have the same token; create one for each`] : [];
  });
  if (problems.length > 0) throw new ServeConfigError(problems);
}

/**
 * Reads a list of tokens: YAML or JSON, as `vicregl token` prints its entries.
 * @throws ServeConfigError naming the file and entry; no value is shown, since it may be a token instead of its hash.
 */
async function readTokensFile(path: string): Promise<TokenEntry[]> {
  const content = await readYaml(path, 'tokensFile');
  if (!Array.isArray(content) || content.length === 0) {
    throw new ServeConfigError([
      `tokensFile ${path} is not a list of tokens; use entries as printed by "vicregl token"`,
    ]);
  }
  const { success, data, error } = z.array(tokenSchema).safeParse(content);
  if (success) return data;
  throw new ServeConfigError(
    error.issues.map(({ code, path: [entry, ...key], message }) => {
      const where = `tokensFile ${path}: entry ${Number(entry) + 1}`;
      if (code === 'unrecognized_keys') return `${where}: ${unknownTokenKey}`;
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
 * All tokens of the configuration and its file; undefined if calls need no token.
 * @throws ServeConfigError naming the file and entry that is wrong.
 */
export async function readTokens({ tokens, tokensFile }: TokenSources): Promise<TokenEntry[] | undefined> {
  if (tokens === undefined && tokensFile === undefined) return undefined;
  const entries = [...(tokens ?? []), ...(tokensFile === undefined ? [] : await readTokensFile(tokensFile))];
  if (entries.length === 0) {
    throw new ServeConfigError(['tokens: the list is empty, so nobody could call; omit the key to let everyone call']);
  }
  checkDistinct(entries, tokensFile === undefined ? 'tokens' : `tokens and tokensFile ${tokensFile}`);
  return entries;
}
