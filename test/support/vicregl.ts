import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { bin } from './servedProcess.js';

/** Runs `node bin/vicregl.js ...` to its end. */
export async function vicregl(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [bin, ...args])) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}
