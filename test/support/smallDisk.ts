import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { TestContext } from 'node:test';

/**
 * Makes a folder a disk of its own with little room, for the time of a test.
 * @param bytes of the disk, a multiple of the page size
 * @returns whether it is there; else this user cannot mount disks, and the test is skipped
 */
export function smallDisk(t: TestContext, folder: string, bytes: number): boolean {
  mkdirSync(folder, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    t.skip('this user cannot mount a small disk');
    return false;
  }
  t.after(() => execFileSync('umount', [folder]));
  return true;
}
