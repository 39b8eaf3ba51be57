import satisfies from 'semver/functions/satisfies.js';
import { error, type Finding, ok } from './finding.js';

const CHECK = 'node';

/**
 * Whether this Node can run the package.
 * @param version such as v20.19.0
 * @param range of `engines` in package.json, such as ^20.19.0 || >=22.12.0
 */
export function checkNode(version: string, range: string, platform: string): Finding {
  const found = `Node ${version} on ${platform}`;
  if (satisfies(version, range)) return ok(CHECK, found);
  return error(
    CHECK,
    `${found}; ${range} is needed`,
    'Install another Node (https://nodejs.org, your distribution, or the base image of the Dockerfile), and run npm ci again: ' +
      'native packages are chosen at the installation.',
  );
}
