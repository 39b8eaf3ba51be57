import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { CsvError, parse } from 'csv-parse';
import { z } from 'zod';
import { fileProblem, isFileError } from '../files/fileProblem.js';
import { DataError } from './dataError.js';
import { packNames } from './nameTable.js';
import type { SourceIndex } from './sourceIndex.js';

/** Extensions of lists. */
export const listPattern = /\.(csv|tsv|jsonl|ndjson)$/i;

/** One line of a list. */
interface ListedImage {
  readonly path: string;
  readonly label: string | undefined;
  /** Line of the file, from 1. */
  readonly line: number;
}

/** The images of a list, and their labels where it gives one for every image. */
export interface IndexedList {
  readonly index: SourceIndex;
  readonly labels: readonly string[] | undefined;
  /** First line without a label; undefined where there is none. */
  readonly unlabelledLine: number | undefined;
}

/** Files whose presence is checked at once. */
const CHECKED_AT_ONCE = 256;

/** Problems that a message names; the rest is counted. */
const MOST_NAMED = 5;

/**
 * Reads a list of images: .csv or .tsv with a header that names the columns path and (optionally) label, or .jsonl with
 * an object {"path", "label"} on each line. Further columns and keys are left alone. A relative path starts from the
 * list's folder; a path may be absolute or lead out of that folder, as the list is its user's own. Spaces around a label are
 * no part of it. The order of the list
 * is the order of the images, and a path that stands in it twice is two images.
 * @throws DataError `malformed` or `not_found`, naming the lines.
 */
export async function indexList(path: string): Promise<IndexedList> {
  const items = await (/\.(jsonl|ndjson)$/i.test(path) ? readJsonLines(path) : readTable(path));
  if (items.length === 0) {
    const table = !/\.(jsonl|ndjson)$/i.test(path);
    throw new DataError(
      'no_images',
      `${path} lists no images: ${table ? 'no line follows its header' : 'it has no lines'}; write a line for each`,
    );
  }
  const root = dirname(resolve(path));
  await checkPresence(path, root, items);
  const names = packNames(items.map((item) => item.path));
  const unlabelled = items.find(({ label }) => label === undefined);
  return {
    index: { count: items.length, names, storage: { kind: 'files', root } },
    labels: unlabelled === undefined ? items.map(({ label }) => label!) : undefined,
    unlabelledLine: unlabelled?.line,
  };
}

function malformed(path: string, line: number, what: string, options?: ErrorOptions): DataError {
  return new DataError('malformed', `${path}, line ${line}: ${what}`, options);
}

function unreadable(path: string, cause: unknown): unknown {
  if (!isFileError(cause)) return cause;
  return new DataError('not_found', `${path} cannot be read: ${fileProblem(cause)}`, { cause });
}

/** csv-parse's record with `info`. */
interface TableRecord {
  readonly record: Readonly<Record<string, string>>;
  readonly info: { readonly lines: number };
}

async function readTable(path: string): Promise<ListedImage[]> {
  const tabs = extname(path).toLowerCase() === '.tsv';
  const checkHeader = (header: string[]): string[] => {
    const names = header.map((name) => name.trim());
    if (names.includes('path')) return names;
    throw new DataError(
      'malformed',
      `${path}, line 1: the header must name a column path (and label, where there are labels), ` +
        `separated by ${tabs ? 'tabs' : 'commas'}; it is "${header.join(tabs ? '\t' : ',').slice(0, 80)}"`,
    );
  };
  const parser = parse({
    delimiter: tabs ? '\t' : ',',
    quote: tabs ? null : '"', // Tab-separated files have no quoting by custom.
    columns: checkHeader,
    bom: true,
    info: true,
    skip_empty_lines: true,
    record_delimiter: ['\r\n', '\n', '\r'],
  });
  const input = createReadStream(path);
  input.on('error', (error) => parser.destroy(error));
  input.pipe(parser);
  const items: ListedImage[] = [];
  try {
    for await (const { record, info } of parser as AsyncIterable<TableRecord>) {
      const file = record['path']!;
      if (file === '') throw malformed(path, info.lines, 'the path is empty');
      items.push({ path: file, label: record['label']?.trim() || undefined, line: info.lines });
    }
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw unreadable(path, cause);
    throw malformed(path, Number(cause['lines'] ?? 0), cause.message, { cause });
  } finally {
    input.destroy();
  }
  return items;
}

const jsonLine = z.object({
  path: z.string().min(1),
  label: z.union([z.string().trim().min(1), z.int().transform(String)]).optional(),
});

async function readJsonLines(path: string): Promise<ListedImage[]> {
  const items: ListedImage[] = [];
  let line = 0;
  // readline alone would leave an error of its input unseen.
  const file = await open(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  try {
    for await (const text of file.readLines()) {
      line++;
      if (text.trim() === '') continue;
      let value: unknown;
      try {
        value = JSON.parse(line === 1 ? text.replace(/^\ufeff/, '') : text);
      } catch (cause) {
        throw malformed(path, line, `not JSON: ${(cause as Error).message}`, { cause });
      }
      const parsed = jsonLine.safeParse(value);
      if (!parsed.success) {
        const problems = parsed.error.issues.map(({ path: key, message }) => `${key.join('.') || 'line'}: ${message}`);
        throw malformed(path, line, `${problems.join('; ')}; write {"path": text, "label": text or whole number}`);
      }
      items.push({ path: parsed.data.path, label: parsed.data.label, line });
    }
  } finally {
    await file.close();
  }
  return items;
}

/** @throws DataError `not_found` naming the first files that are not there, with their lines. */
async function checkPresence(list: string, root: string, items: readonly ListedImage[]): Promise<void> {
  const missing: ListedImage[] = [];
  for (let start = 0; start < items.length; start += CHECKED_AT_ONCE) {
    const some = items.slice(start, start + CHECKED_AT_ONCE);
    const present = await Promise.all(
      some.map(({ path }) =>
        stat(resolve(root, path)).then(
          (status) => status.isFile(),
          () => false,
        ),
      ),
    );
    missing.push(...some.filter((_, i) => !present[i]));
  }
  if (missing.length === 0) return;
  const shown = (path: string) => (path.trim() === path ? path : JSON.stringify(path)); // Spaces at the ends are part of it.
  const named = missing.slice(0, MOST_NAMED).map(({ path, line }) => `${shown(path)} (line ${line})`);
  const more = missing.length > MOST_NAMED ? ` and ${missing.length - MOST_NAMED} more` : '';
  throw new DataError(
    'not_found',
    `${list} names files that are not there: ${named.join(', ')}${more}; relative paths start from ${root}`,
  );
}
