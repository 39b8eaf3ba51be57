import { readFile } from 'node:fs/promises';
import { externalFiles } from '../onnx/externalData.js';
import type { GraphKind, ModelFolder } from './folder.js';
import { ModelFolderError } from './modelFolderError.js';

/**
 * Reads a graph, and checks that it refers to no file beyond those that the manifest lists: such a file is read with the graph, and
 * nobody has compared its checksum.
 * @returns the bytes of its file
 * @throws ModelFolderError naming the graph and the file, or a graph that is no ONNX model.
 */
export async function readListedGraph({ manifest, graphPath }: ModelFolder, kind: GraphKind): Promise<Uint8Array> {
  const path = graphPath(kind)!;
  let bytes: Uint8Array;
  let names: Set<string>;
  try {
    bytes = await readFile(path);
    names = externalFiles(bytes);
  } catch (cause) {
    throw new ModelFolderError(`${path} cannot be loaded: ${(cause as Error).message}`, { cause });
  }
  for (const name of names) {
    if (Object.hasOwn(manifest.files, name)) continue;
    throw new ModelFolderError(
      `${path} refers to "${name}", which its manifest does not list under files; fetch or export the folder again`,
    );
  }
  return bytes;
}
