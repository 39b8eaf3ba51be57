import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { bin, type Place } from './servedProcess.js';

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `node bin/vicregl.js ...` to its end. */
export const vicregl = (...args: string[]): Promise<Ended> => vicreglIn({}, ...args);

/** The same of another package, in another folder, or with other variables than those of this process. */
export async function vicreglIn({ program = bin, ...place }: Place, ...args: string[]): Promise<Ended> {
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [program, ...args], place)) };
  } catch (error) {
    const { code, stdout, stderr } = error as Ended;
    return { code, stdout, stderr };
  }
}
