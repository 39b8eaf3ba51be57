import { spawnSync } from 'node:child_process';

/** COLMAP without a display. */
const environment = { ...process.env, QT_QPA_PLATFORM: 'offscreen' };

/** The reason to skip a test that needs COLMAP, or false if it can run. CI does not install it, since it needs Qt. */
export function skipWithoutColmap(): string | false {
  if (spawnSync('colmap', ['help'], { env: environment }).error === undefined) return false;
  return 'colmap is not installed (Debian: apt-get install colmap); docs/proofs/colmap.md has what it answered';
}

/** Runs a command of COLMAP. @throws Error with its output if it fails */
export function colmap(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('colmap', args, { env: environment, encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new Error(`colmap ${args.join(' ')} ended with ${status}: ${stdout}${stderr}`);
}
