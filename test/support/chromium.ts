import { spawnSync } from 'node:child_process';
import { type Browser, chromium } from 'playwright-core';

/** Debian's Chromium, on which the pages are tested. */
const CHROMIUM = '/usr/bin/chromium';

/**
 * The reason to skip a test that needs Chromium, or false if it can run.
 * @throws Error if it is missing and CI_CHROMIUM=required. .ci/run sets this, because CI must not skip tests.
 */
export function skipWithoutChromium(): string | false {
  if (spawnSync(CHROMIUM, ['--version']).status === 0) return false;
  const missing = `${CHROMIUM} is not here (Debian: apt-get install chromium)`;
  if (process.env['CI_CHROMIUM'] !== 'required') return missing;
  throw new Error(`${missing}, and CI_CHROMIUM=required forbids to skip what needs it`);
}

/** Starts Chromium. Its sandbox cannot run as root, and the pages are our own. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}
