import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { listModels } from '../models/listModels.js';
import { ModelFolderError } from '../models/modelFolderError.js';
import { packagedModels } from './defaults.js';

/** Where models are searched by name: ./models, then the package's own. */
export const modelParents: readonly string[] = ['models', packagedModels];

/** The folder of a model by path or by name. @throws ModelFolderError listing the existing models. */
export async function findModel(nameOrPath: string): Promise<string> {
  for (const dir of [nameOrPath, ...modelParents.map((parent) => join(parent, nameOrPath))]) {
    if (await stat(join(dir, 'manifest.json')).catch(() => undefined)) return dir;
  }
  const known = (await listModels(modelParents)).map(({ dir }) => dir);
  throw new ModelFolderError(
    `there is no model "${nameOrPath}": it is not a model folder, nor the name of one in ${modelParents.join(' or ')}; existing models: ${known.join(', ') || 'none'}`,
  );
}
