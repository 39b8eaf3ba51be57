import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { readableFormats } from '../image/format.js';
import { checkDevice } from './checkDevice.js';
import { checkFileLimit } from './checkFileLimit.js';
import { checkImages, loadSharp } from './checkImages.js';
import { checkMemory, type MemoryFacts } from './checkMemory.js';
import type { ModelDirFacts } from './checkModels.js';
import { checkNode } from './checkNode.js';
import { type ConfiguredListener, checkPorts, tryListen } from './checkPorts.js';
import { checkRuntime, loadRuntime } from './checkRuntime.js';
import { checkSecurity, type SecurityFacts } from './checkSecurity.js';
import { error, type Finding, messageOf } from './finding.js';

/** What the configuration of the service says about this machine. */
export interface Examined {
  readonly device: 'auto' | 'cpu' | 'cuda';
  /** Models by path or name. */
  readonly models: readonly string[];
  readonly modelDir?: ModelDirFacts | undefined;
  readonly listeners: readonly ConfiguredListener[];
  readonly security: SecurityFacts;
  readonly memory: Pick<MemoryFacts, 'bounds' | 'workers' | 'decodeProcesses'>;
}

export interface DoctorOptions {
  /** Reads the configuration. What it throws is a finding. */
  readonly configuration: () => Promise<Examined>;
  /** The folder of a model by path or name. */
  readonly findModel: (name: string) => Promise<string>;
  /** Whether a service answers at the first listener. */
  readonly serviceAnswers: (listener: ConfiguredListener) => Promise<boolean>;
}

interface PackageFile {
  readonly engines: { readonly node: string };
  readonly dependencies: Readonly<Record<string, string>>;
}

/** The file that lists the versions which this package is made for, three levels above dist/src/doctor. */
const packageFile = new URL('../../../package.json', import.meta.url);

async function deviceFindings(device: Examined['device']): Promise<Finding[]> {
  const { CUDA_PLATFORM, missingProviderFiles, providerPath } = await import('../onnx/cuda/provider.js');
  return checkDevice({
    device,
    platform: `${process.platform}-${process.arch}`,
    cudaPlatform: CUDA_PLATFORM,
    hasDriver: existsSync('/proc/driver/nvidia/version'),
    missingProvider: missingProviderFiles(),
    checkLibraries: async () => (await import('../onnx/cuda/checkCuda.js')).checkCuda(providerPath()),
  });
}

async function configured(
  { device, models, modelDir, listeners, security, memory }: Examined,
  { findModel, serviceAnswers }: DoctorOptions,
): Promise<Finding[]> {
  const { checkModels } = await import('./checkModels.js');
  return [
    ...(await deviceFindings(device)),
    checkMemory({
      machine: totalmem(),
      // Both know the limits of control groups.
      limit: process.constrainedMemory(),
      available: process.availableMemory(),
      ...memory,
    }),
    ...(await checkPorts(listeners, tryListen, () => serviceAnswers(listeners[0]!))),
    ...(await checkSecurity(security)),
    ...(await checkModels(models, findModel, modelDir)),
  ];
}

/**
 * Examines this machine for the service. What other checks need is loaded by the checks themselves, so that whatever is missing is a
 * finding.
 */
export async function examine(options: DoctorOptions): Promise<Finding[]> {
  const { engines, dependencies } = JSON.parse(await readFile(packageFile, 'utf8')) as PackageFile;
  const findings = [
    checkNode(process.version, engines.node, `${process.platform}-${process.arch}`),
    await checkRuntime(loadRuntime, dependencies['onnxruntime-node']!),
    await checkImages(loadSharp, readableFormats),
    checkFileLimit(await readFile('/proc/self/limits', 'utf8').catch(() => undefined)),
  ];
  try {
    return [...findings, ...(await configured(await options.configuration(), options))];
  } catch (thrown) {
    return [
      ...findings,
      error(
        'configuration',
        `the configuration cannot be read: ${messageOf(thrown)}`,
        'Device, memory, ports, TLS, tokens and models were not checked. "npx vicregl serve --print-config" prints every problem of the ' +
          'configuration; if the findings above have an error, mend that first.',
      ),
    ];
  }
}
