import type { Command } from 'commander';
import { checkCuda } from '../onnx/cuda/checkCuda.js';
import { installProvider } from '../onnx/cuda/installProvider.js';
import { CUDA } from '../onnx/cuda/libraries.js';
import { CUDA_PLATFORM, missingProviderFiles, providerFolder, providerPath } from '../onnx/cuda/provider.js';
import { table } from './table.js';

const NEEDS = `CUDA ${CUDA.version}, cuDNN 9 and driver ${CUDA.oldestDriver} or later`;

/** Prints what is found, and what is wrong. @throws Error where something is. */
async function check(driver: boolean): Promise<void> {
  const missing = missingProviderFiles();
  if (missing.length > 0) {
    const way = 'npx vicregl cuda install fetches the provider';
    throw new Error(`${missing.join(' and ')} not found in ${providerFolder()}: ${way} (${CUDA_PLATFORM} alone)`);
  }
  const { libraries, problems } = await checkCuda(providerPath(), { driver });
  console.log(table(libraries.map(({ library, path }) => [library.file, path ?? 'not found'])));
  if (problems.length > 0) throw new Error(`CUDA cannot be used as it is. ${problems.join('\n  ')}`);
  console.log(`All that the provider needs is here${driver ? '' : ', but for the driver, which was not looked for'}.`);
}

/** `vicregl cuda install` and `check`. */
export function registerCuda(program: Command): void {
  const cuda = program.command('cuda').description(`ONNX Runtime's CUDA provider, which takes ${NEEDS}.`);
  cuda
    .command('install')
    .description(
      "Fetch the provider from nuget.org (some hundred MB; Linux x64) and put it beside ONNX Runtime's library.",
    )
    .action(async () => {
      const { folder, fetched } = await installProvider();
      console.log(`the CUDA provider is in ${folder}${fetched ? '' : ' already'}`);
      console.log('npx vicregl cuda check says whether the libraries that it needs are here.');
    });
  cuda
    .command('check')
    .description('Look for every library that the provider needs, without loading one, and name what is missing.')
    .option('--without-driver', "leave out the driver, as in an image's build", false)
    .action(({ withoutDriver }: { readonly withoutDriver: boolean }) => check(!withoutDriver));
}
