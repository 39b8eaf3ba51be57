import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fileProblem } from '../files/fileProblem.js';
import { writeOutputFile } from '../files/output.js';
import { ExperimentError } from './experimentError.js';

/** `cell.json`: what is known of a cell. */

const FORMAT = 'vicregl-experiment-cell';
const VERSION = 1;

const attempt = {
  seconds: z.number().nonnegative().describe('Time used, over all attempts.'),
  reason: z.string().optional().describe('Why it failed.'),
};

const cellSchema = z.strictObject({
  format: z.literal(FORMAT),
  formatVersion: z.literal(VERSION),
  experiment: z.string(),
  variant: z.string(),
  seed: z.int().nonnegative(),
  settings: z.record(z.string(), z.json()).describe('Keys of the training configuration, without defaults.'),
  digest: z.string().describe('Of the settings.'),
  versions: z.strictObject({ vicregl: z.string(), onnxruntime: z.string(), node: z.string() }),
  reused: z.string().optional().describe('Experiment and cell from which training and results were copied.'),
  status: z.enum(['unfinished', 'done', 'failed']),
  started: z.iso.datetime(),
  updated: z.iso.datetime(),
  training: z.strictObject({
    status: z.enum(['unfinished', 'done', 'failed']),
    ...attempt,
    steps: z.int().nonnegative().optional(),
    collapsed: z.string().optional().describe('The warning, where the run had collapsed at its end.'),
  }),
  evaluations: z.record(
    z.string(),
    z.strictObject({
      status: z.enum(['done', 'failed']),
      kind: z.string(),
      flags: z.record(z.string(), z.json()),
      ...attempt,
    }),
  ),
});

export type CellRecord = z.infer<typeof cellSchema>;

const recordPath = (folder: string) => join(folder, 'cell.json');

/** A new cell. */
export function newRecord(
  about: Pick<CellRecord, 'experiment' | 'variant' | 'seed' | 'settings' | 'digest' | 'versions'>,
): CellRecord {
  const now = new Date().toISOString();
  return {
    format: FORMAT,
    formatVersion: VERSION,
    ...about,
    status: 'unfinished',
    started: now,
    updated: now,
    training: { status: 'unfinished', seconds: 0 },
    evaluations: {},
  };
}

/** Writes the record of a cell atomically. */
export async function writeRecord(folder: string, record: CellRecord): Promise<void> {
  const updated = { ...record, updated: new Date().toISOString() };
  await writeOutputFile('--out', recordPath(folder), `${JSON.stringify(updated, null, 2)}\n`);
}

/**
 * Reads the record of a cell; undefined for a folder without one.
 * @throws ExperimentError for a file that is damaged or of another version.
 */
export async function readRecord(folder: string): Promise<CellRecord | undefined> {
  const path = recordPath(folder);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw new ExperimentError(`${path} cannot be read: ${fileProblem(cause)}`, { cause });
  }
  const way = `remove the folder ${folder} to run this cell again`;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ExperimentError(`${path} is not JSON: ${(cause as Error).message}; ${way}`, { cause });
  }
  const version = (json as { formatVersion?: unknown } | null)?.formatVersion;
  if (version !== VERSION && version !== undefined) {
    throw new ExperimentError(
      `${path} has format version ${JSON.stringify(version)}, and this version of vicregl reads ${VERSION}; use the version that wrote it, or another --out`,
    );
  }
  const parsed = cellSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path: keys, message }) => `  ${keys.join('.')}: ${message}`);
  throw new ExperimentError(`${path} is damaged; ${way}:\n${problems.join('\n')}`);
}
