import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileProblem } from '../files/fileProblem.js';
import { type ModelFolder, openModelFolder } from '../models/folder.js';
import { listModels } from '../models/listModels.js';
import { ModelFolderError } from '../models/modelFolderError.js';
import { packagedModels } from './defaults.js';

/** Where models are searched by name: ./models, then the package's own, which are the same in a checkout. */
export function modelParents(): readonly string[] {
  return resolve('models') === packagedModels ? ['models'] : ['models', packagedModels];
}

/** The folder of a model by path or by name. @throws ModelFolderError listing the existing models. */
export async function findModel(nameOrPath: string): Promise<string> {
  const parents = modelParents();
  let cause: unknown;
  for (const dir of [nameOrPath, ...parents.map((parent) => join(parent, nameOrPath))]) {
    try {
      await stat(join(dir, 'manifest.json'));
      return dir;
    } catch (error) {
      cause ??= error;
    }
  }
  const known = (await listModels(parents)).map(({ dir }) => dir);
  throw new ModelFolderError(
    `there is no model "${nameOrPath}": it is not a model folder (manifest.json: ${fileProblem(cause)}), nor the name of one in ` +
      `${parents.join(' or ')}; existing models: ${known.join(', ') || 'none'}`,
    { cause },
  );
}

/** Opens a model by path or by name. @throws ModelFolderError as `findModel`, and for a folder that is not valid. */
export async function openModel(nameOrPath: string): Promise<ModelFolder> {
  return openModelFolder(await findModel(nameOrPath));
}
