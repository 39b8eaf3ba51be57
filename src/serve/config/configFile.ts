import { ServeConfigError } from './configError.js';
import { readYaml } from './readYaml.js';
import type { ConfigFile } from './resolve.js';

/**
 * Reads a configuration file, YAML or JSON; an empty one has no keys.
 * @throws ServeConfigError naming the file, when it cannot be read or holds no keys and values.
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const content = (await readYaml(path, 'the configuration file')) ?? {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new ServeConfigError([
      `the configuration file ${path} does not hold keys and values, such as "queueImages: 64"`,
    ]);
  }
  return { path, content: content as Readonly<Record<string, unknown>> };
}
