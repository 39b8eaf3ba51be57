import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readNeeded } from './elf.js';
import { CUDA_PLATFORM, missingProviderFiles, PROVIDER_FILES, providerFolder, runtimePackage } from './provider.js';

interface InstallOptions {
  /** Folder of onnxruntime-node. */
  readonly runtime?: string;
  readonly platform?: string;
}

/** What is wrong with the files of the provider, in words; undefined if they are there and whole. */
async function faultOf(runtime: string): Promise<string | undefined> {
  const missing = missingProviderFiles(runtime);
  if (missing.length > 0) return `${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} not there`;
  for (const file of PROVIDER_FILES) {
    try {
      await readNeeded(join(providerFolder(runtime), file));
    } catch (error) {
      return (error as Error).message;
    }
  }
  return undefined;
}

/**
 * Runs onnxruntime-node's own install script, and returns how it ended.
 *
 * The variable overrides the flags of the script and of npm, and true is the one value of 1.29 that fetches: `cuda12`, which the
 * script documents, is dropped by its parser, and without a value it does nothing for a package that `npm run` works on.
 */
async function runInstallScript(runtime: string): Promise<string> {
  const child = spawn(process.execPath, [join(runtime, 'script/install.js')], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'true' },
  });
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return signal === null ? `exit code ${code}` : `signal ${signal}`;
}

/**
 * Installs ONNX Runtime's CUDA provider next to its library: a download of some hundred MB from nuget.org.
 * @returns the folder, and whether anything had to be fetched
 * @throws Error on another platform, and if the provider is not there and whole afterwards, with what to do.
 */
export async function installProvider({
  runtime = runtimePackage(),
  platform = `${process.platform}-${process.arch}`,
}: InstallOptions = {}): Promise<{ readonly folder: string; readonly fetched: boolean }> {
  if (platform !== CUDA_PLATFORM) {
    throw new Error(
      `ONNX Runtime's CUDA provider exists for ${CUDA_PLATFORM} alone; this is ${platform}, which has the CPU`,
    );
  }
  const folder = providerFolder(runtime);
  if ((await faultOf(runtime)) === undefined) return { folder, fetched: false };
  // Remove files of an earlier attempt, so that they are not taken for the result of this one.
  for (const file of PROVIDER_FILES) await rm(join(folder, file), { force: true });
  const end = await runInstallScript(runtime);
  const fault = await faultOf(runtime);
  if (end !== 'exit code 0' || fault !== undefined) {
    throw new Error(
      `the CUDA provider was not installed in ${folder} (onnxruntime-node's install script: ${end}; ${fault ?? 'its files are there'}). ` +
        'It comes from https://api.nuget.org by way of the temporary folder (TMPDIR), which needs half a GB of room, and the ' +
        'folder above has to be writable; behind a proxy set GLOBAL_AGENT_HTTPS_PROXY=http://HOST:PORT. Without internet, do ' +
        'this on another machine and copy ' +
        `${PROVIDER_FILES.join(' and ')} from there`,
    );
  }
  return { folder, fetched: true };
}
