import pLimit from 'p-limit';
import type { Logger } from 'pino';

/** Something that can be read again while the service runs, such as certificates. */
export interface Reloadable {
  readonly name: string;
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

/** Reloads everything: one reload at a time, and a part that fails does not keep the others from theirs. */
export type Reload = () => Promise<readonly ReloadResult[]>;

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
  return () =>
    inTurn(async () => {
      const results: ReloadResult[] = [];
      for (const part of parts) results.push(await reloadPart(part));
      return results;
    });
}
