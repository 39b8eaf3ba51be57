import { join } from 'node:path';
import { OutputError, writeOutputFile } from '../../files/output.js';

/** Pictures that an evaluation draws beside its figures. */
export interface Pictures {
  /** Writes one. Where that fails, no further ones are written, and the evaluation goes on: its result is worth more. */
  write(name: string, png: Buffer): Promise<void>;
  /** To be called when the result is out. @throws OutputError if a picture could not be written. */
  finish(): void;
}

/** @param dir folder that exists */
export function picturesIn(dir: string): Pictures {
  let failed: OutputError | undefined;
  return {
    async write(name, png) {
      if (failed !== undefined) return;
      try {
        await writeOutputFile('--pictures', join(dir, name), png);
      } catch (error) {
        if (!(error instanceof OutputError)) throw error;
        failed = error;
      }
    },
    finish() {
      if (failed !== undefined) throw failed;
    },
  };
}
