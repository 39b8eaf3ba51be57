import { error, type Finding, ok } from './finding.js';

const CHECK = 'node';

const numbersOf = (version: string): number[] =>
  version
    .replace(/^[^\d]*/, '')
    .split('.')
    .map(Number);

/** Whether a version is a later one or the same. */
function isAtLeast(version: string, least: string): boolean {
  const [a, b] = [numbersOf(version), numbersOf(least)];
  const at = b.findIndex((number, i) => (a[i] ?? 0) !== number);
  return at === -1 || (a[at] ?? 0) > b[at]!;
}

/**
 * Whether Node is new enough.
 * @param version such as v20.17.0
 * @param range of `engines` in package.json, such as >=20.17
 */
export function checkNode(version: string, range: string, platform: string): Finding {
  const found = `Node ${version} on ${platform}`;
  if (isAtLeast(version, range)) return ok(CHECK, found);
  return error(
    CHECK,
    `${found}; ${range} is needed`,
    'Install a newer Node (https://nodejs.org, your distribution, or the base image of the Dockerfile), and run npm ci again: ' +
      'native packages are chosen at the installation.',
  );
}
