import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onExit } from 'signal-exit';

/**
 * Runs work with a temporary folder, and removes the folder at the end: also if the work fails, and if a signal such as that of
 * Ctrl-C ends the process, as long as no other listener keeps the signal from ending it.
 */
export async function withScratch<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'vicregl-'));
  // Writes of other threads may go on while the folder is removed: hence the retries.
  const off = onExit(() => rmSync(dir, { recursive: true, force: true, maxRetries: 3 }));
  try {
    return await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
    off();
  }
}
