import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DataError } from '../../data/dataError.js';
import { fileProblem } from '../../files/fileProblem.js';
import { namedClasses, type SegmentationClass } from './classTables.js';

/** Names of the classes of a plain folder: `classes.txt` or `classes.json` beside images and masks. */

const channel = z.int().min(0).max(255);
const jsonSchema = z.array(
  z.union([
    z.string().min(1),
    z.strictObject({ name: z.string().min(1), colour: z.tuple([channel, channel, channel]).optional() }),
  ]),
);

/** The text of a file without its byte order mark; undefined where there is none. */
async function optional(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).replace(/^\uFEFF/, '');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new DataError('not_found', `${path} cannot be read: ${fileProblem(cause)}`, { cause });
  }
}

function fromJson(path: string, text: string) {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new DataError('malformed', `${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
  const parsed = jsonSchema.safeParse(json);
  if (parsed.success) return parsed.data.map((entry) => (typeof entry === 'string' ? { name: entry } : entry));
  throw new DataError(
    'malformed',
    `${path} must be a list of names, or of { "name": ..., "colour": [red, green, blue] }, in the order of the labels`,
  );
}

/**
 * The classes of a folder by label: a name per line of `classes.txt`, or the list of `classes.json` (names, or objects with
 * `name` and `colour`). Undefined where there is neither file.
 * @throws DataError `malformed` for a file that cannot be understood, fewer than two classes or more than 255, a name that
 *   stands twice, or both files.
 */
export async function readClassFile(dir: string): Promise<SegmentationClass[] | undefined> {
  const [textPath, jsonPath] = [join(dir, 'classes.txt'), join(dir, 'classes.json')];
  const [text, json] = [await optional(textPath), await optional(jsonPath)];
  if (text === undefined && json === undefined) return undefined;
  if (text !== undefined && json !== undefined)
    throw new DataError('malformed', `${dir} has classes.txt and classes.json; remove one`);
  const path = text === undefined ? jsonPath : textPath;
  const entries =
    text === undefined
      ? fromJson(path, json!)
      : text
          .trimEnd()
          .split(/\r?\n/)
          .map((line) => ({ name: line.trim() }));
  const empty = entries.findIndex(({ name }) => name === '');
  if (empty >= 0)
    throw new DataError('malformed', `${path}: line ${empty + 1} is empty; each line is the name of a class`);
  const names = entries.map(({ name }) => name);
  const repeated = names.find((name, i) => names.indexOf(name) !== i);
  if (repeated !== undefined) throw new DataError('malformed', `${path} has the class "${repeated}" twice`);
  if (names.length < 2 || names.length > 255) {
    throw new DataError('malformed', `${path} has ${names.length} classes; there must be 2 to 255`);
  }
  return namedClasses(entries);
}
