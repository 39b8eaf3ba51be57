import { readFile } from 'node:fs/promises';
import { fileProblem } from '../../files/fileProblem.js';
import { type EvaluationResult, RESULT_FORMAT, RESULT_VERSION, resultSchema } from './schema.js';

/** `foreign`: JSON of another kind. */
export type ResultErrorCode = 'unreadable' | 'not_json' | 'foreign' | 'version' | 'damaged';

/** A file that is not a result of an evaluation, or not one of this version. */
export class ResultError extends Error {
  override readonly name = 'ResultError';
  readonly code: ResultErrorCode;

  constructor(code: ResultErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A damaged file may have thousands of problems. */
const MAX_PROBLEMS = 5;

/**
 * Reads a result of `vicregl evaluate`.
 * @throws ResultError that names the file, and what is wrong with it.
 */
export async function readResult(path: string): Promise<EvaluationResult> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ResultError('unreadable', `${path} cannot be read: ${fileProblem(cause)}`, { cause });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ResultError('not_json', `${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
  const { format, formatVersion } = (json ?? {}) as Record<string, unknown>;
  if (format !== RESULT_FORMAT) {
    throw new ResultError(
      'foreign',
      `${path} is not a result of vicregl evaluate: it has no "format": "${RESULT_FORMAT}"`,
    );
  }
  if (formatVersion !== RESULT_VERSION) {
    throw new ResultError(
      'version',
      `${path} is a result of format version ${JSON.stringify(formatVersion)}, and this version of vicregl reads ${RESULT_VERSION}; run the evaluation again, or read it with the version that wrote it`,
    );
  }
  const parsed = resultSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path: keys, message }) => `${keys.join('.')}: ${message}`);
  const more = problems.length - MAX_PROBLEMS;
  const shown = [...problems.slice(0, MAX_PROBLEMS), ...(more > 0 ? [`and ${more} more`] : [])];
  throw new ResultError('damaged', `${path} is a damaged result; run the evaluation again:\n  ${shown.join('\n  ')}`);
}
