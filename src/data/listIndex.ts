import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { CsvError, parse } from 'csv-parse';
import { z } from 'zod';
import { fileProblem, isFileError } from '../files/fileProblem.js';
import { DataError } from './dataError.js';
import { packNames } from './nameTable.js';
import type { SourceIndex } from './sourceIndex.js';

/** Matches the file names of lists. */
export const listPattern = /\.(csv|tsv|jsonl|ndjson)$/i;

/** One line of a list. */
interface ListedImage {
  readonly path: string;
  readonly label: string | undefined;
  /** Line number in the file, starting at 1. */
  readonly line: number;
}

/** The images of a list, and their labels if it has one for every image. */
export interface IndexedList {
  readonly index: SourceIndex;
  readonly labels: readonly string[] | undefined;
  /** First line without a label; undefined if all lines have one. */
  readonly unlabelledLine: number | undefined;
}

/** Number of files that are checked concurrently. */
const CHECK_CONCURRENCY = 256;

/** Maximum number of problems that a message names; the rest are counted. */
const MAX_NAMED = 5;

/**
 * Reads a list of images: a .csv or .tsv file whose header names the columns path and (optionally) label, or a .jsonl file with
 * an object {"path", "label"} on each line. Other columns and keys are ignored. Paths are relative to the list's folder. They may
 * be absolute or point outside this folder, because the list belongs to its user. Spaces around labels are removed. Images have
 * the order of the list; a path that occurs twice is two images.
 * @throws DataError `malformed` or `not_found`, naming the lines; `no_images` for an empty list.
 */
export async function indexList(path: string): Promise<IndexedList> {
  const items = await (/\.(jsonl|ndjson)$/i.test(path) ? readJsonLines(path) : readTable(path));
  if (items.length === 0) {
    const table = !/\.(jsonl|ndjson)$/i.test(path);
    throw new DataError(
      'no_images',
      `${path} lists no images: ${table ? 'there is no line after its header' : 'it has no lines'}; add one line per image`,
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

/** A record of csv-parse with the option `info`. */
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
      `${path}, line 1: the header must contain the column path (and label, if there are labels), ` +
        `separated by ${tabs ? 'tabs' : 'commas'}; it is "${header.join(tabs ? '\t' : ',').slice(0, 80)}"`,
    );
  };
  const parser = parse({
    delimiter: tabs ? '\t' : ',',
    quote: tabs ? null : '"', // By convention, tab-separated files have no quoting.
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
  // readline alone would not report an error of its input.
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

/** @throws DataError `not_found` naming the first files that do not exist, with their lines. */
async function checkPresence(list: string, root: string, items: readonly ListedImage[]): Promise<void> {
  const missing: ListedImage[] = [];
  for (let start = 0; start < items.length; start += CHECK_CONCURRENCY) {
    const chunk = items.slice(start, start + CHECK_CONCURRENCY);
    const present = await Promise.all(
      chunk.map(({ path }) =>
        stat(resolve(root, path)).then(
          (status) => status.isFile(),
          () => false,
        ),
      ),
    );
    missing.push(...chunk.filter((_, i) => !present[i]));
  }
  if (missing.length === 0) return;
  const shown = (path: string) => (path.trim() === path ? path : JSON.stringify(path)); // Quotes make leading and trailing spaces visible.
  const named = missing.slice(0, MAX_NAMED).map(({ path, line }) => `${shown(path)} (line ${line})`);
  const more = missing.length > MAX_NAMED ? ` and ${missing.length - MAX_NAMED} more` : '';
  throw new DataError(
    'not_found',
    `${list} lists files that do not exist: ${named.join(', ')}${more}; paths are relative to ${root}`,
  );
}
