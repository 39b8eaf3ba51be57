import { readFile } from 'node:fs/promises';
import { externalFiles } from '../onnx/externalData.js';
import type { GraphKind, ModelFolder } from './folder.js';
import { ModelFolderError } from './modelFolderError.js';

/**
 * Checks that a graph refers to no file beyond those that the manifest lists: such a file is read with the graph, and nobody has
 * compared its checksum.
 * @throws ModelFolderError naming the graph and the file, or a graph that is no ONNX model.
 */
export async function requireListedData({ manifest, graphPath }: ModelFolder, kind: GraphKind): Promise<void> {
  const path = graphPath(kind)!;
  let names: Set<string>;
  try {
    names = externalFiles(await readFile(path));
  } catch (cause) {
    throw new ModelFolderError(`${path} cannot be loaded: ${(cause as Error).message}`, { cause });
  }
  for (const name of names) {
    if (Object.hasOwn(manifest.files, name)) continue;
    throw new ModelFolderError(
      `${path} refers to "${name}", which its manifest does not list under files; fetch or export the folder again`,
    );
  }
}
