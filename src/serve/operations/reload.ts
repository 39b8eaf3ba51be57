import pLimit from 'p-limit';
import type { Logger } from 'pino';
import { ServeError } from '../call/serveError.js';

/** Something that can be read again while the service runs, such as certificates. */
export interface Reloadable {
  readonly name: string;
  /** Of a model: the names by which it alone can be reloaded, as of now. */
  readonly modelNames?: () => readonly string[];
  /** Reads it again; what held before still holds when this throws. @returns what holds now, in a few words */
  reload(): Promise<string>;
}

/** What became of one part. */
export interface ReloadResult {
  readonly name: string;
  readonly ok: boolean;
  /** What holds now, or why the reload failed. */
  readonly message: string;
}

/**
 * Reloads everything, or one model: one reload at a time, and a part that fails does not keep the others from theirs.
 * @param model the name of the model to reload alone
 * @throws ServeError `unknown_model` naming those that there are; nothing is reloaded then
 */
export type Reload = (model?: string) => Promise<readonly ReloadResult[]>;

export function createReload(parts: readonly Reloadable[], logger: Pick<Logger, 'info' | 'error'>): Reload {
  const inTurn = pLimit(1);
  async function reloadPart({ name, reload }: Reloadable): Promise<ReloadResult> {
    try {
      const message = await reload();
      logger.info({ part: name }, `reloaded: ${message}`);
      return { name, ok: true, message };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      logger.error({ part: name, err: error }, 'the reload failed; what held before still holds');
      return { name, ok: false, message };
    }
  }

  /** The first of that name, as requests mean it. */
  function partOf(model: string): Reloadable {
    const found = parts.find(({ modelNames }) => modelNames?.().includes(model));
    if (found) return found;
    const names = parts.flatMap(({ modelNames }) => modelNames?.() ?? []);
    const known = [...new Set(names)].map((name) => `"${name}"`).join(', ');
    throw new ServeError('unknown_model', `model: "${model}" is not served here; there are ${known}`);
  }

  return (model) =>
    inTurn(async () => {
      const results: ReloadResult[] = [];
      for (const part of model === undefined ? parts : [partOf(model)]) results.push(await reloadPart(part));
      return results;
    });
}
