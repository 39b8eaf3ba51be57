import pLimit from 'p-limit';
import type { Logger } from 'pino';
import { quoted } from '../call/quoted.js';
import { ServeError } from '../call/serveError.js';

/** A part of the service that can be reloaded at run time, such as certificates. */
export interface Reloadable {
  readonly name: string;
  /** For a model: the current names by which it can be reloaded alone. */
  readonly modelNames?: () => readonly string[];
  /**
   * Reloads the part. If it throws, the previous state stays in force.
   * @param model one of `modelNames`, if only this model of several is to be reloaded
   * @returns a short description of the new state
   */
  reload(model?: string): Promise<string>;
}

/** The result of reloading one part. */
export interface ReloadResult {
  readonly name: string;
  readonly ok: boolean;
  /** Describes the new state, or why the reload failed. */
  readonly message: string;
}

/**
 * Reloads everything, or one model. Only one reload runs at a time; if one part fails, the others are still reloaded.
 * @param model name of the only model to reload
 * @throws ServeError `unknown_model` listing the models; then nothing is reloaded
 */
export type Reload = (model?: string) => Promise<readonly ReloadResult[]>;

export function createReload(parts: readonly Reloadable[], logger: Pick<Logger, 'info' | 'error'>): Reload {
  const oneAtATime = pLimit(1);
  async function reloadPart({ name, reload }: Reloadable, model?: string): Promise<ReloadResult> {
    try {
      const message = await reload(model);
      logger.info({ part: name }, `reloaded: ${message}`);
      return { name, ok: true, message };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      logger.error({ part: name, err: error }, 'the reload failed; the previous state stays in force');
      return { name, ok: false, message };
    }
  }

  /** The first model with the name, as in requests. */
  function partOf(model: string): Reloadable {
    const found = parts.find(({ modelNames }) => modelNames?.().includes(model));
    if (found) return found;
    const names = parts.flatMap(({ modelNames }) => modelNames?.() ?? []);
    const known = [...new Set(names)].map((name) => `"${name}"`).join(', ');
    throw new ServeError('unknown_model', `model: ${quoted(model)} is not served here; use ${known}`);
  }

  return (model) =>
    oneAtATime(async () => {
      const results: ReloadResult[] = [];
      for (const part of model === undefined ? parts : [partOf(model)]) results.push(await reloadPart(part, model));
      return results;
    });
}
