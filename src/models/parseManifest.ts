import { type Manifest, manifestSchema } from './manifest.js';
import { ModelFolderError } from './modelFolderError.js';
import { modelInput, modelOutputs } from './modelOutputs.js';

/** Converts a manifest of version 1 to version 2, in which input, outputs and compute are explicit. */
function upgraded(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || (value as { schemaVersion?: unknown }).schemaVersion !== 1)
    return value;
  const { dims, stride } = value as Partial<Manifest>;
  if (typeof dims !== 'object' || dims === null) return { ...value, schemaVersion: 2 };
  return {
    input: modelInput,
    outputs: modelOutputs(dims, stride as number),
    compute: 'float32',
    ...value,
    schemaVersion: 2,
  };
}

/**
 * Checks a manifest against its schema and its own references.
 * @param where named in the error, such as the path of the file
 * @throws ModelFolderError listing every problem with its key.
 */
export function parseManifest(value: unknown, where: string): Manifest {
  const parsed = manifestSchema.safeParse(upgraded(value));
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => {
      // zod nests the problem of a record's key one level deeper.
      const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
      return `${issue.path.join('.') || '(root)'}: ${message}`;
    });
    throw new ModelFolderError(`${where} is not a valid manifest:\n  ${problems.join('\n  ')}`);
  }
  const manifest = parsed.data;
  const problems: string[] = [];
  for (const [kind, file] of Object.entries(manifest.graphs)) {
    if (file !== undefined && !(file in manifest.files))
      problems.push(`graphs.${kind}: ${file} is not listed in files`);
  }
  if (manifest.weights !== undefined && !(manifest.weights in manifest.files))
    problems.push(`weights: ${manifest.weights} is not listed in files`);
  for (const [graph, dim] of [
    ['localProjector', 'mapsEmbedding'],
    ['expander', 'embedding'],
    ['classifier', 'classes'],
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
