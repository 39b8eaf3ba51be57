import { type Manifest, manifestSchema } from './manifest.js';
import { ModelFolderError } from './modelFolderError.js';

/**
 * Checks a manifest against its schema and its own references.
 * @param where named in the error, such as the path of the file
 * @throws ModelFolderError listing every problem with its key.
 */
export function parseManifest(value: unknown, where: string): Manifest {
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || '(root)'}: ${issue.message}`);
    throw new ModelFolderError(`${where} is not a valid manifest:\n  ${problems.join('\n  ')}`);
  }
  const manifest = parsed.data;
  const problems: string[] = [];
  for (const [kind, file] of Object.entries(manifest.graphs)) {
    if (file !== undefined && !(file in manifest.files))
      problems.push(`graphs.${kind}: ${file} is not listed in files`);
  }
  for (const [graph, dim] of [
    ['localProjector', 'mapsEmbedding'],
    ['expander', 'embedding'],
  ] as const) {
    if ((manifest.graphs[graph] === undefined) !== (manifest.dims[dim] === undefined)) {
      problems.push(`graphs.${graph} and dims.${dim} belong together: give both or neither`);
    }
  }
  if (problems.length > 0) {
    throw new ModelFolderError(`${where} is not a valid manifest:\n  ${problems.join('\n  ')}`);
  }
  return manifest;
}
