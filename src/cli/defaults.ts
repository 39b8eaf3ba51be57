import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Name of the bundled model. */
const BUNDLED_MODEL = 'vicregl-resnet18-half';

/** The package's models, three levels above this file in dist/src/cli. */
export const packagedModels = fileURLToPath(new URL('../../../models', import.meta.url));

/** Folder of the bundled model. */
export const bundledModelFolder = join(packagedModels, BUNDLED_MODEL);

/** Default address of `serve` and of the commands that call it. Loopback, since there is no authentication by default. */
export const DEFAULT_ADDRESS = '127.0.0.1:50051';
