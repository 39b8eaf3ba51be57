import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/**
 * What `npm test` tells the scripts that it runs of itself and of this project: another npm below would take it for the
 * user's will, as onnxruntime-node's install script does. Where the registry and the cache are stays.
 */
const OURS = /^npm_(package_|lifecycle_|command$|config_(local_prefix|ignore_scripts|prefix)$)/i;

/** Runs npm in a folder, with variables beside the user's, and resolves with its stdout. @throws Error with its stderr. */
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
 * Why a test that installs packages is skipped; false where it can run.
 * @throws Error where the registry cannot be reached and CI_NPM_REGISTRY=required, as .ci/run sets it.
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
