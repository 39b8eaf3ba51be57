import type { Command } from 'commander';
import { checkCuda } from '../onnx/cuda/checkCuda.js';
import { installProvider } from '../onnx/cuda/installProvider.js';
import { CUDA } from '../onnx/cuda/libraries.js';
import { CUDA_PLATFORM, missingProviderFiles, providerFolder, providerPath } from '../onnx/cuda/provider.js';
import { table } from './table.js';

const NEEDS = `CUDA ${CUDA.version}, cuDNN 9 and driver ${CUDA.oldestDriver} or later`;

/** Prints which libraries were found. @throws Error listing the problems, if any. */
async function check(driver: boolean): Promise<void> {
  const missing = missingProviderFiles();
  if (missing.length > 0) {
    const remedy = `download the provider with npx vicregl cuda install (${CUDA_PLATFORM} only)`;
    throw new Error(`${missing.join(' and ')} not found in ${providerFolder()}: ${remedy}`);
  }
  const { libraries, problems } = await checkCuda(providerPath(), { driver });
  console.log(table(libraries.map(({ library, path }) => [library.file, path ?? 'not found'])));
  if (problems.length > 0) throw new Error(`CUDA cannot be used. ${problems.join('\n  ')}`);
  console.log(`All libraries that the provider needs were found${driver ? '' : '; the driver was not checked'}.`);
}

/** `vicregl cuda install` and `check`. */
export function registerCuda(program: Command): void {
  const cuda = program.command('cuda').description(`ONNX Runtime's CUDA provider, which requires ${NEEDS}.`);
  cuda
    .command('install')
    .description(
      "Download the provider from nuget.org (some hundred MB; Linux x64) to the folder of ONNX Runtime's library.",
    )
    .action(async () => {
      const { folder, fetched } = await installProvider();
      console.log(`the CUDA provider is ${fetched ? '' : 'already '}in ${folder}`);
      console.log('check the libraries that it needs with: npx vicregl cuda check');
    });
  cuda
    .command('check')
    .description('Search for every library that the provider needs, without loading it, and list what is missing.')
    .option('--without-driver', 'do not check the driver, as in an image build', false)
    .action(({ withoutDriver }: { readonly withoutDriver: boolean }) => check(!withoutDriver));
}
