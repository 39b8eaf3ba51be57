import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/**
 * Environment variables that `npm test` sets about itself and this project. A nested npm, and onnxruntime-node's install
 * script, would take them for settings of the user, so they are removed. The registry and the cache are kept.
 */
const OURS = /^npm_(package_|lifecycle_|command$|config_(local_prefix|ignore_scripts|prefix)$)/i;

/** Runs npm in a folder with additional variables, and resolves with its stdout. @throws Error with its stderr. */
export async function npm(
  cwd: string,
  environment: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<string> {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.test(name)));
  const env = { ...inherited, ...environment };
  const { stdout } = await promisify(execFile)('npm', args, { cwd, env, maxBuffer: 2 ** 26 });
  return stdout;
}

/**
 * The reason to skip a test that installs packages, or false if it can run.
 * @throws Error if the registry cannot be reached and CI_NPM_REGISTRY=required, which .ci/run sets.
 */
export async function skipWithoutRegistry(environment: Readonly<Record<string, string>> = {}): Promise<string | false> {
  try {
    await npm('.', environment, 'view', 'vega', 'name', '--fetch-retries=1', '--fetch-timeout=10000');
    return false;
  } catch (error) {
    const { message } = error as Error;
    const missing = `npm's registry cannot be reached (${/^npm \S+ code (\w+)/m.exec(message)?.[1] ?? message.trim()})`;
    if (process.env['CI_NPM_REGISTRY'] !== 'required') return missing;
    throw new Error(`${missing}, and CI_NPM_REGISTRY=required forbids to skip what needs it`);
  }
}
