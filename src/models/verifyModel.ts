import type { InferenceSession } from '../onnx/runtime.js';
import { createSession, runSession } from '../onnx/session.js';
import type { Tensor } from '../tensor/tensor.js';
import { arithmeticOf } from './arithmetic.js';
import { checkDifference, checkImage } from './check.js';
import { type GraphKind, graphKinds, type ModelFolder, openModelFolder } from './folder.js';
import { readListedGraph } from './listedData.js';
import type { Manifest } from './manifest.js';
import { ModelFolderError } from './modelFolderError.js';
import { mapsEmbeddingShape, outputShapeProblem } from './modelOutputs.js';

export interface Verification {
  readonly manifest: Manifest;
  /** Files whose size and sha256 are those of the manifest. */
  readonly files: number;
  /** Graphs that ONNX Runtime ran, with the outputs that the manifest lists. */
  readonly graphs: readonly GraphKind[];
  /**
   * Largest difference from the recorded output for the check image, relative to its norm, and the tolerance; absent if
   * the manifest records none.
   */
  readonly check?: { readonly difference: number; readonly tolerance: number };
}

/** Sides of a synthetic image in cells: different ones, since exchanged rows and columns would not show in a square. */
const CELLS = { rows: 2, columns: 3 } as const;

/**
 * Checks a model folder completely: the manifest, size and sha256 of every file, that the graphs refer to no other files, that every
 * graph runs and its outputs are finite and have the channels and strides that the manifest lists, and that the backbone's output for
 * the check image is the recorded one.
 * @throws ModelFolderError naming what is wrong.
 */
export async function verifyModel(dir: string): Promise<Verification> {
  const folder = await openModelFolder(dir);
  const { manifest, graphPath } = folder;
  const kinds = graphKinds.filter((kind) => manifest.graphs[kind] !== undefined);
  const images = checkImage(CELLS.rows * manifest.stride, CELLS.columns * manifest.stride);
  const values = new Map<string, Tensor>([['images', images]]);
  let check: Verification['check'];
  for (const kind of kinds) {
    const path = graphPath(kind)!;
    await readListedGraph(folder, kind);
    const session = await createSession(path, arithmeticOf(manifest.compute)).catch((cause: Error) => {
      throw new ModelFolderError(`${path} cannot be loaded: ${cause.message}`, { cause });
    });
    try {
      await runGraph(folder, kind, session, values);
      if (kind !== 'backbone' || manifest.check === undefined) continue;
      const { tolerance } = manifest.check;
      check = { difference: await checkDifference(session, manifest.check), tolerance };
      if (!(check.difference <= tolerance)) {
        throw new ModelFolderError(
          `${path} does not compute the output that its manifest records: relative difference ` +
            `${check.difference.toPrecision(3)}, allowed ${tolerance}; does this runtime or device compute wrongly?`,
        );
      }
    } finally {
      await session.release();
    }
  }
  return { manifest, files: Object.keys(manifest.files).length, graphs: kinds, ...(check && { check }) };
}

/** Input of each graph: the images, or an output of the backbone. */
const INPUTS = {
  backbone: 'images',
  localProjector: 'maps',
  expander: 'representation',
  classifier: 'representation',
} as const satisfies Record<GraphKind, string>;

/**
 * Runs a graph and compares its outputs with the manifest.
 * @param values by name: has the input, receives the outputs
 */
async function runGraph(
  { manifest, graphPath }: ModelFolder,
  kind: GraphKind,
  session: InferenceSession,
  values: Map<string, Tensor>,
): Promise<void> {
  const path = graphPath(kind)!;
  const listed = Object.entries(manifest.outputs).filter(([, { graph }]) => graph === kind);
  const missing = listed.map(([name]) => name).filter((name) => !session.outputNames.includes(name));
  if (missing.length > 0) {
    throw new ModelFolderError(`${path} does not give ${missing.join(', ')}, which its manifest lists under outputs`);
  }
  const input = INPUTS[kind];
  const outputs = await runSession(session, { [input]: values.get(input)! }).catch((cause: Error) => {
    throw new ModelFolderError(`${path} does not run on ${input} as its manifest describes it: ${cause.message}`, {
      cause,
    });
  });
  const [batch, height, width] = values.get('images')!.shape as [number, number, number];
  for (const [name, output] of listed) {
    const { shape: given, data } = outputs.get(name)!;
    const shape = name === 'maps_embedding' ? mapsEmbeddingShape(given, values.get('maps')!.shape) : given;
    const problem = outputShapeProblem(output, { batch, height, width, shape });
    if (problem !== undefined) throw new ModelFolderError(`${path}: output ${name}: ${problem}`);
    if (!(data as Float32Array).every(Number.isFinite)) {
      throw new ModelFolderError(
        `${path}: output ${name} is not finite for a synthetic image; are its weights damaged?`,
      );
    }
    values.set(name, outputs.get(name)!);
  }
}
