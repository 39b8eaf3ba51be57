import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { fileProblem } from '../../files/fileProblem.js';
import { ServeConfigError } from './configError.js';

/**
 * The content of a YAML or JSON file.
 * @throws ServeConfigError naming the file, when it cannot be read or is neither.
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
    // The parser quotes the lines around a fault, which may hold secrets: its first line says what and where.
    const reason = (cause as Error).message.split('\n')[0]!.replace(/:$/, '');
    throw new ServeConfigError([`${what} ${path} is neither YAML nor JSON: ${reason}`]);
  }
}
