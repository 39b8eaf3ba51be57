import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Name of the model that ships with the package. */
const BUNDLED_MODEL = 'vicregl-convnext-atto';

/** The package's models, three levels above this file in dist/src/cli. */
export const packagedModels = fileURLToPath(new URL('../../../models', import.meta.url));

/** Folder of the model that ships with the package. */
export const bundledModelFolder = join(packagedModels, BUNDLED_MODEL);

/** Where `serve` listens and the other commands look for it. Loopback: there is no authentication. */
export const DEFAULT_ADDRESS = '127.0.0.1:50051';
