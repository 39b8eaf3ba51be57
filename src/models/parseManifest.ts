import { type Manifest, manifestSchema } from './manifest.js';
import { ModelFolderError } from './modelFolderError.js';
import { modelInput, modelOutputs, type StageOutput, stageOutputName } from './modelOutputs.js';

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

type Output = Manifest['outputs'][string];

/** The stages among the outputs. */
function listedStages({ outputs, widths }: Manifest): StageOutput[] {
  return widths.flatMap((channels, i) => {
    const output = outputs[stageOutputName(i + 1)];
    return output === undefined ? [] : [{ stage: i + 1, channels, stride: output.stride ?? 0 }];
  });
}

/** Dimensions that are known only in a run may have any name. */
const written = ({ graph, shape, stride }: Output): string =>
  `[${shape.map((size) => (typeof size === 'number' ? size : '*')).join(', ')}] of ${graph}${stride === undefined ? '' : ` with stride ${stride}`}`;

/** What contradicts itself in a manifest, with its keys: what says more than one thing about the same network. */
function* contradictions(manifest: Manifest): Generator<string> {
  const { graphs, files, weights, dims, heads, depths, widths, stride, input, outputs, preprocessing, check } =
    manifest;
  for (const [kind, file] of Object.entries(graphs)) {
    if (file !== undefined && !Object.hasOwn(files, file)) yield `graphs.${kind}: ${file} is not listed in files`;
  }
  if (weights !== undefined && !Object.hasOwn(files, weights)) yield `weights: ${weights} is not listed in files`;
  for (const [graph, dim, head] of [
    ['localProjector', 'mapsEmbedding', heads.localProjector?.at(-1)],
    ['expander', 'embedding', heads.expander?.at(-1)],
    ['classifier', 'classes', heads.classifier],
  ] as const) {
    if ((graphs[graph] === undefined) !== (dims[dim] === undefined)) {
      yield `graphs.${graph} and dims.${dim} belong together: give both or neither`;
    } else if (dims[dim] !== undefined && head !== undefined && head !== dims[dim]) {
      yield `heads.${graph}: it ends with ${head}, and dims.${dim} is ${dims[dim]}`;
    }
  }
  if (depths.length !== widths.length) yield `widths: ${widths.length} stages, and depths has ${depths.length}`;
  if (widths.at(-1) !== dims.representation) {
    yield `widths: the last stage has ${widths.at(-1)} channels, and dims.representation is ${dims.representation}`;
  }
  if (input.shape.length !== 4 || input.shape[3] !== 3) yield 'input.shape: it must be [batch, height, width, 3]';
  const expected = modelOutputs(dims, stride, listedStages(manifest));
  for (const [name, output] of Object.entries(expected)) {
    const found = Object.hasOwn(outputs, name) ? outputs[name] : undefined;
    if (found === undefined) yield `outputs.${name}: it is missing`;
    else if (written(found) !== written(output)) {
      yield `outputs.${name}: it is ${written(found)}; dims, widths and stride say ${written(output)}`;
    }
  }
  for (const name of Object.keys(outputs)) {
    if (!Object.hasOwn(expected, name)) yield `outputs.${name}: dims and widths have no such output`;
  }
  if (preprocessing.crop > preprocessing.resize) {
    yield `preprocessing.crop: ${preprocessing.crop} is more than resize, ${preprocessing.resize}`;
  }
  if ((manifest.compute === 'int8') !== (manifest.precision === 'int8')) {
    yield `compute: ${manifest.compute} does not go with precision ${manifest.precision}; both are int8, or neither`;
  }
  if (check === undefined) return;
  if (check.channels.length !== check.values.length) {
    yield `check.values: ${check.values.length} for ${check.channels.length} channels`;
  }
  const beyond = check.channels.find((channel) => channel >= dims.representation);
  if (beyond !== undefined) yield `check.channels: the representation has ${dims.representation}, and no ${beyond}`;
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
  const problems = [...contradictions(manifest)];
  if (problems.length > 0) {
    throw new ModelFolderError(`${where} is not a valid manifest:\n  ${problems.join('\n  ')}`);
  }
  return manifest;
}
