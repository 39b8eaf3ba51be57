import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { fileProblem } from '../../files/fileProblem.js';

/** The service's configuration is unreadable or invalid; lists every problem with its key and source. */
export class ServeConfigError extends Error {
  override readonly name = 'ServeConfigError';

  /** @param problems one line each */
  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(
      problems.length === 1
        ? problems[0]
        : `the configuration has ${problems.length} problems:\n${problems.map((problem) => `  ${problem}`).join('\n')}`,
      options,
    );
  }
}

/** The content of a configuration file with its path. */
export interface ConfigFile {
  readonly path: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/**
 * Reads a YAML or JSON file.
 * @throws ServeConfigError naming the file if it is unreadable or neither of the two.
 */
export async function readYaml(path: string, what: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ServeConfigError([`${what} ${path} cannot be read: ${fileProblem(cause)}`], { cause });
  }
  try {
    return parse(text) as unknown;
  } catch (cause) {
    // The parser quotes lines of the file, which may contain secrets. Only the first line of its message is used: error and position.
    const reason = (cause as Error).message.split('\n')[0]!.replace(/:$/, '');
    throw new ServeConfigError([`${what} ${path} is neither YAML nor JSON: ${reason}`]);
  }
}

/**
 * Reads a configuration file, YAML or JSON; an empty one has no keys.
 * @throws ServeConfigError naming the file if it is unreadable or has no keys and values.
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const content = (await readYaml(path, 'the configuration file')) ?? {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new ServeConfigError([
      `the configuration file ${path} does not contain keys and values, such as "queueImages: 64"`,
    ]);
  }
  return { path, content: content as Readonly<Record<string, unknown>> };
}
