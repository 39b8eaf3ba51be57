/** Why CUDA cannot be used, by the messages of ONNX Runtime, CUDA and the dynamic loader. */

/** A library that CUDA needs, with the names for users. */
export interface KnownLibrary {
  /** Its name for the dynamic loader, such as libcudnn.so.9. */
  readonly file: string;
  /** Its common name, such as cuDNN. */
  readonly name: string;
  /** The package that has it, in NVIDIA's archive for Debian and Ubuntu. */
  readonly package?: string;
}

/**
 * - `platform`: this build of ONNX Runtime has no CUDA
 * - `provider`: ONNX Runtime's own library for CUDA is missing
 * - `library`: a library of CUDA is missing or is another than the one needed
 * - `driver`: NVIDIA's driver is missing or too old
 * - `device`: there is no card, or none that can be used
 * - `memory`: the card's memory is taken
 * - `kernels`: the graph has operators that CUDA cannot run
 * - `other`: none of these
 */
export type CudaCause = 'platform' | 'provider' | 'library' | 'driver' | 'device' | 'memory' | 'kernels' | 'other';

export interface CudaFailure {
  readonly cause: CudaCause;
  /** What is wrong, without a full stop. */
  readonly reason: string;
  /** What to do, as a sentence without its full stop; absent where only the CPU is left. */
  readonly wayOut?: string;
}

const PROVIDER = /libonnxruntime_providers_\w+\.so/;
const INSTALL = 'Fetch it with "npm run install:cuda"';

/** How the loader, cuDNN and its front end name a library that they did not find. */
const MISSING_LIBRARY = [
  /(?:^|[\s/])(lib[\w+-]+\.so[\w.]*): cannot open shared object file/,
  /Unable to load any of \{(lib[\w+-]+\.so[\w.]*)/,
  /Could not load library (lib[\w+-]+\.so[\w.]*)/,
  /dlopen failed for (lib[\w+-]+\.so[\w.]*)/,
];

/** A library that was found and cannot be linked: another version, or another architecture. */
const UNFIT_LIBRARY =
  /(?:^|[\s/])(lib[\w+-]+\.so[\w.]*): (undefined symbol|version `|wrong ELF class|file too short|invalid ELF)/;

function missingLibrary(file: string, libraries: readonly KnownLibrary[]): CudaFailure {
  if (PROVIDER.test(file)) {
    return { cause: 'provider', reason: `ONNX Runtime's CUDA provider (${file}) is not installed`, wayOut: INSTALL };
  }
  if (file.startsWith('libcuda.so')) {
    return {
      cause: 'driver',
      reason: `${file} of NVIDIA's driver is not found`,
      wayOut: 'Install the driver; a container gets the host\'s by "--gpus all" and the NVIDIA Container Toolkit',
    };
  }
  const known = libraries.find((library) => file.startsWith(library.file.replace(/\.so.*/, '')));
  const whose = known === undefined ? '' : ` of ${known.name}`;
  const install = known?.package === undefined ? 'Install it' : `Install it (${known.package})`;
  return {
    cause: 'library',
    reason: `${file}${whose} is not found`,
    wayOut: `${install}, or put its folder into LD_LIBRARY_PATH where it is installed`,
  };
}

/** CUDA's errors by number and by name. */
const CUDA_ERRORS: readonly (CudaFailure & { readonly says: RegExp })[] = [
  {
    says: /driver version is insufficient|cudaErrorInsufficientDriver|CUDA failure 35\b|system has unsupported display driver/i,
    cause: 'driver',
    reason: "NVIDIA's driver is too old for the CUDA of ONNX Runtime's provider",
    wayOut: 'Update the driver; "nvidia-smi" shows the newest CUDA that it runs',
  },
  {
    says: /invalid device ordinal|cudaErrorInvalidDevice|CUDA failure 101\b/i,
    cause: 'device',
    reason: 'there is no CUDA device of this number',
    wayOut: 'See the numbers with "nvidia-smi -L"; CUDA_VISIBLE_DEVICES renumbers them',
  },
  {
    says: /no CUDA-capable device|cudaErrorNoDevice|CUDA failure 100\b/i,
    cause: 'device',
    reason: 'no CUDA device is found',
    wayOut: 'See that "nvidia-smi" lists a card and that CUDA_VISIBLE_DEVICES does not hide it',
  },
  {
    says: /no kernel image is available|CUDA failure 209\b|unsupported PTX|CUDA failure 222\b/i,
    cause: 'device',
    reason: "the card is older than those that ONNX Runtime's provider was built for",
  },
  {
    says: /devices? (is|are) (busy|unavailable)|busy or unavailable|CUDA failure 46\b/i,
    cause: 'device',
    reason: 'another process has the card for itself',
    wayOut: 'End it, or set the card\'s compute mode to default ("nvidia-smi -c 0")',
  },
  {
    says: /out of memory|failed to allocate memory|ALLOC_FAILED|CUDA failure 2\b/i,
    cause: 'memory',
    reason: "the card's memory does not suffice",
    wayOut: 'See with "nvidia-smi" what else uses it',
  },
  {
    says: /assigned to the default CPU EP/,
    cause: 'kernels',
    reason: 'the graph has operators that CUDA has no kernel for',
  },
  {
    says: /not enabled in this build|is unsupported: 'cuda'|backend not found/i,
    cause: 'platform',
    reason: 'this build of ONNX Runtime has no CUDA',
    wayOut: 'CUDA needs Linux on x64',
  },
];

/** The message without the name of the C function that failed, one line. */
const firstLine = (message: string): string =>
  message
    .trim()
    .split('\n')[0]!
    .replace(/^OrtSessionOptionsAppendExecutionProvider_\w+: /, '');

/**
 * Classifies the messages, the most likely cause first.
 * @param messages of the runtime and of the loader.
 * @param libraries that the provider needs, for their names and packages.
 */
export function explainCudaFailure(messages: readonly string[], libraries: readonly KnownLibrary[]): CudaFailure {
  for (const message of messages) {
    const file = MISSING_LIBRARY.map((pattern) => pattern.exec(message)?.[1]).find(Boolean);
    if (file !== undefined) return missingLibrary(file, libraries);
    if (/cuDNN library was not found/i.test(message)) {
      const cudnn = libraries.find(({ name }) => name === 'cuDNN');
      return missingLibrary(cudnn?.file ?? 'libcudnn.so.9', libraries);
    }
    const unfit = UNFIT_LIBRARY.exec(message);
    if (unfit !== null) {
      return {
        cause: 'library',
        reason: `${unfit[1]} is another version than the one needed (${firstLine(message)})`,
        wayOut: 'See with "ldd" which one is found first, and install the one needed',
      };
    }
    const known = CUDA_ERRORS.find(({ says }) => says.test(message));
    if (known !== undefined) {
      const { cause, reason, wayOut } = known;
      return { cause, reason: `${reason} (${firstLine(message)})`, ...(wayOut !== undefined && { wayOut }) };
    }
  }
  return { cause: 'other', reason: firstLine(messages[0] ?? 'nothing says why') };
}
