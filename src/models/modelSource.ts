import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { backboneOfManifest } from './architecture.js';
import type { ExportSource } from './exportSource.js';
import type { ModelFolder } from './folder.js';
import { readWeights } from './readWeights.js';

/**
 * A float model folder as the source of an export in another form: weights, metadata, and the files next to the graphs.
 * @param name of the new model.
 * @throws ModelFolderError for a folder whose weights are not float (see readWeights).
 */
export async function modelSource(folder: ModelFolder, name: string): Promise<ExportSource> {
  const { dir, manifest } = folder;
  const weights = await readWeights(folder);
  const { heads, graphs } = manifest;
  const ofGraphs = new Set([...Object.values(graphs), manifest.weights]);
  const files = new Map<string, Uint8Array>();
  for (const file of Object.keys(manifest.files)) {
    if (!ofGraphs.has(file)) files.set(file, await readFile(join(dir, file)));
  }
  return {
    name,
    version: manifest.version,
    architecture: manifest.architecture,
    backbone: backboneOfManifest(manifest),
    ...(graphs.localProjector && heads.localProjector && { localProjector: heads.localProjector }),
    ...(heads.expander && { expander: heads.expander }),
    writeExpander: graphs.expander !== undefined,
    ...(graphs.classifier && manifest.dims.classes && { classes: manifest.dims.classes }),
    ...(manifest.poolingOrder && { poolingOrder: manifest.poolingOrder }),
    alpha: manifest.alpha ?? undefined,
    weights,
    license: manifest.license,
    training: manifest.training,
    ...(manifest.source && { source: manifest.source }),
    ...(manifest.evaluation && { evaluation: manifest.evaluation }),
    formOf: { name: manifest.name, version: manifest.version, precision: manifest.precision },
    files,
  };
}
