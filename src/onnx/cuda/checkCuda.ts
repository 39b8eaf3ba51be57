import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readNeeded } from './elf.js';
import { CUDA, CUDA_LIBRARIES, type CudaLibrary, PROVIDER_VERSION } from './libraries.js';

/** The requirements of the CUDA provider that a machine has, as the dynamic loader sees them. Loads nothing and needs no GPU. */
export interface CudaCheck {
  /** Each library of the list with the file that would be loaded; absent if there is none. */
  readonly libraries: readonly { readonly library: CudaLibrary; readonly path?: string }[];
  /** What is wrong and what to do, a sentence or two each; empty where CUDA can be loaded. */
  readonly problems: readonly string[];
}

interface CheckOptions {
  /** Whether the driver has to be there; the build of an image has none. Default true. */
  readonly driver?: boolean;
  /** The version information of the kernel module. */
  readonly driverVersionFile?: string;
}

/** Libraries of glibc and GCC, which every machine has. */
const SYSTEM = /^(ld-linux-x86-64|lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s))\.so\.\d+$/;

/** Output of a program of glibc's, whatever its exit code: ldd fails for some of what it reports. */
async function output(program: string, ...args: string[]): Promise<string> {
  // ldconfig is in a folder that is only on the path of root
  const env = { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, { env });
    return stdout + stderr;
  } catch (error) {
    const { code, stdout, stderr, message } = error as Error & { code: unknown; stdout?: string; stderr?: string };
    if (typeof code !== 'number') throw new Error(`the libraries cannot be looked up: ${message}`, { cause: error });
    return `${stdout}${stderr}`;
  }
}

/** The output of ldd for a library: the file of each one that is linked, also by others; undefined if there is none. */
async function linked(path: string): Promise<{ files: Map<string, string | undefined>; faults: string[] }> {
  const lines = (await output('ldd', path)).split('\n').map((line) => line.trim());
  const files = new Map<string, string | undefined>();
  const faults: string[] = [];
  for (const line of lines) {
    const [, name, file] = /^(\S+) => (not found|\/\S+)/.exec(line) ?? [];
    if (name !== undefined) files.set(name, file === 'not found' ? undefined : file);
    else if (/version `.*' not found/.test(line)) faults.push(line);
  }
  return { files, faults };
}

/** Where the dynamic loader would find libraries by name: LD_LIBRARY_PATH, then its cache. */
async function createFinder(): Promise<(name: string) => string | undefined> {
  const folders = (process.env['LD_LIBRARY_PATH'] ?? '').split(/[:;]/).filter(Boolean);
  const cache = new Map<string, string>();
  for (const [, name, path] of (await output('ldconfig', '-p')).matchAll(
    /^\s+(\S+) \(libc6,x86-64[^)]*\) => (\S+)$/gm,
  )) {
    if (!cache.has(name!)) cache.set(name!, path!);
  }
  return (name) => folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? cache.get(name);
}

/** Where the list and the provider differ. */
function listProblems(needed: readonly string[]): string[] {
  const listed = CUDA_LIBRARIES.filter(({ loadedAt }) => loadedAt === 'start').map(({ file }) => file);
  const foreign = needed.filter((name) => !SYSTEM.test(name) && !listed.includes(name));
  const gone = listed.filter((name) => !needed.includes(name));
  if (foreign.length + gone.length === 0) return [];
  const differences = [
    ...(foreign.length > 0 ? [`needs ${foreign.join(', ')}`] : []),
    ...(gone.length > 0 ? [`does not need ${gone.join(', ')}`] : []),
  ];
  return [
    `The provider ${differences.join(' and ')}, unlike that of ONNX Runtime ${PROVIDER_VERSION}: another version is installed, or src/onnx/cuda/libraries.ts is out of date.`,
  ];
}

function missingProblem(missing: readonly CudaLibrary[]): string[] {
  if (missing.length === 0) return [];
  const names = missing.map(({ file, name }) => `${file} (${name})`);
  const packages = [...new Set(missing.flatMap((library) => library.package ?? []))];
  const brought = `NVIDIA's archive for Debian and Ubuntu has them in ${packages.join(', ')}; other systems have CUDA ${CUDA.version} and cuDNN 9.`;
  const driver = `The driver has to be ${CUDA.oldestDriver} or later (in a container: docker run --gpus all).`;
  return [
    [
      `Not found: ${names.join(', ')}.`,
      ...(packages.length > 0 ? [brought] : []),
      ...(missing.some((library) => library.package === undefined) ? [driver] : []),
    ].join(' '),
  ];
}

/** A driver that is too old for the release, by its major number; forward compatibility (cuda-compat) lets it pass. */
async function driverProblem(file: string, library: string | undefined): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const version = /^NVRM version:.*?\s((\d+)\.\d+[.\d]*)/m.exec(text);
  if (version === null || Number(version[2]) >= CUDA.oldestDriver || library?.includes('/compat/')) return [];
  return [`The NVIDIA driver is ${version[1]}; CUDA ${CUDA.version} takes ${CUDA.oldestDriver} or later.`];
}

/**
 * Compares what a provider needs with what the machine has.
 * @param provider path of libonnxruntime_providers_cuda.so
 * @throws Error if the provider is not there or not whole.
 */
export async function checkCuda(
  provider: string,
  { driver = true, driverVersionFile = '/proc/driver/nvidia/version' }: CheckOptions = {},
): Promise<CudaCheck> {
  const needed = await readNeeded(provider);
  const { files, faults } = await linked(provider);
  const find = await createFinder();
  const wanted = CUDA_LIBRARIES.filter((library) => driver || library.package !== undefined);
  const libraries = wanted.map((library) => {
    const path = files.has(library.file) ? files.get(library.file) : find(library.file);
    return { library, ...(path !== undefined && { path }) };
  });
  // What the libraries that are loaded later are linked with; and what no list names.
  for (const { library, path } of libraries) {
    if (library.loadedAt === 'use' && path !== undefined) {
      for (const [name, file] of (await linked(path)).files) if (!files.has(name)) files.set(name, file);
    }
  }
  const listed = new Set(CUDA_LIBRARIES.map(({ file }) => file));
  const others = [...files].filter(([name, file]) => file === undefined && !listed.has(name)).map(([name]) => name);
  return {
    libraries,
    problems: [
      ...listProblems(needed),
      ...missingProblem(libraries.filter(({ path }) => path === undefined).map(({ library }) => library)),
      ...(others.length > 0 ? [`Not found: ${others.join(', ')}, which these are linked with.`] : []),
      ...faults,
      ...(driver
        ? await driverProblem(driverVersionFile, libraries.find(({ library }) => library.package === undefined)?.path)
        : []),
    ],
  };
}
