import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import type { CudaCheck } from '../onnx/cuda/checkCuda.js';
import { CUDA } from '../onnx/cuda/libraries.js';
import { error, type Finding, messageOf, ok, warning } from './finding.js';

const CHECK = 'device';

/** What is known of the machine's GPU. */
export interface DeviceFacts {
  /** The configured device. */
  readonly device: 'auto' | 'cpu' | 'cuda';
  /** `linux-x64` and so on. */
  readonly platform: string;
  /** The only platform with a CUDA provider. */
  readonly cudaPlatform: string;
  /** Whether the machine has an NVIDIA driver. */
  readonly hasDriver: boolean;
  /** Files of ONNX Runtime's CUDA provider that are not there. */
  readonly missingProvider: readonly string[];
  /** Looks for the libraries that the provider needs. */
  readonly checkLibraries: () => Promise<CudaCheck>;
}

/** The version in the name of the file behind a library's link, such as 9.10.2 of libcudnn.so.9.10.2. */
async function versionOf(path: string): Promise<string> {
  const target = await realpath(path).catch(() => path);
  return /\.so\.([\d.]+)$/.exec(basename(target))?.[1] ?? 'of an unknown version';
}

const NEEDS = `CUDA ${CUDA.version}, cuDNN 9 and NVIDIA's driver ${CUDA.oldestDriver} or later`;

/** Whether models can run on the GPU, with a finding for each library that is needed for it. */
export async function checkDevice(facts: DeviceFacts): Promise<Finding[]> {
  const { device, platform, cudaPlatform, hasDriver, missingProvider, checkLibraries } = facts;
  if (device === 'cpu') return [ok(CHECK, 'models run on the CPU, as configured (device: cpu)')];
  // With `auto`, a machine without a GPU has nothing to mend.
  const serious = device === 'cuda' ? error : warning;
  if (platform !== cudaPlatform) {
    const found = `models run on the CPU: ONNX Runtime has CUDA for ${cudaPlatform} alone, and this is ${platform}`;
    return device === 'cuda'
      ? [error(CHECK, found, 'Set device to auto or cpu, or run the service on Linux x64 with an NVIDIA GPU.')]
      : [ok(CHECK, found)];
  }
  if (device === 'auto' && !hasDriver) {
    return [ok(CHECK, 'models run on the CPU: the machine has no NVIDIA driver')];
  }
  if (missingProvider.length > 0) {
    const advice =
      `Download the provider with "npx vicregl cuda install" (some hundred MB from nuget.org). It needs ${NEEDS}. Until then, ` +
      'models run on the CPU if device is auto; to keep it so, set device to cpu.';
    return [serious(CHECK, `ONNX Runtime's CUDA provider is not installed: ${missingProvider.join(', ')}`, advice)];
  }
  try {
    const { libraries, problems } = await checkLibraries();
    const each = await Promise.all(
      libraries.map(async ({ library: { file, name }, path }) =>
        path === undefined
          ? serious(
              'cuda',
              `${file} (${name}) is not found`,
              `The CUDA provider needs it (${NEEDS}). The findings of "device" name the packages; in a container, use the CUDA ` +
                'image and start it with --gpus all.',
            )
          : ok('cuda', `${file} (${name}) ${await versionOf(path)}: ${path}`),
      ),
    );
    const summary = problems.map((problem) =>
      serious(CHECK, 'CUDA cannot be used', `${problem} "npx vicregl cuda check" repeats this check alone.`),
    );
    return [
      ...each,
      ...(summary.length > 0 ? summary : [ok(CHECK, 'CUDA: every library that the provider needs is there')]),
    ];
  } catch (thrown) {
    return [
      serious(
        CHECK,
        `CUDA's libraries cannot be looked up: ${messageOf(thrown)}`,
        'Install the provider again ("npx vicregl cuda install"), and check that ldd and ldconfig of glibc are on the path.',
      ),
    ];
  }
}
