import { createSession } from '../onnx/session.js';
import { checkDifference } from './check.js';
import { type GraphKind, openModelFolder } from './folder.js';
import type { Manifest } from './manifest.js';
import { ModelFolderError } from './modelFolderError.js';

export interface Verification {
  readonly manifest: Manifest;
  /** Files whose size and sha256 are those of the manifest. */
  readonly files: number;
  /** Graphs that ONNX Runtime loaded, with the inputs and outputs that the manifest lists. */
  readonly graphs: readonly GraphKind[];
  /**
   * Largest difference from the recorded output for the check image, relative to its norm, and the tolerance; absent if
   * the manifest records none.
   */
  readonly check?: { readonly difference: number; readonly tolerance: number };
}

/**
 * Checks a model folder completely: the manifest, size and sha256 of every file, that every graph loads and has the outputs
 * that the manifest lists, and that the backbone's output for the check image is the recorded one.
 * @throws ModelFolderError naming what is wrong.
 */
export async function verifyModel(dir: string): Promise<Verification> {
  const { manifest, graphPath } = await openModelFolder(dir);
  const kinds = Object.keys(manifest.graphs) as GraphKind[];
  let check: Verification['check'];
  for (const kind of kinds) {
    const path = graphPath(kind)!;
    const session = await createSession(path).catch((cause: Error) => {
      throw new ModelFolderError(`${path} cannot be loaded: ${cause.message}`, { cause });
    });
    try {
      const missing = Object.entries(manifest.outputs).filter(
        ([name, { graph }]) => graph === kind && !session.outputNames.includes(name),
      );
      if (missing.length > 0) {
        const names = missing.map(([name]) => name).join(', ');
        throw new ModelFolderError(`${path} does not give ${names}, which its manifest lists under outputs`);
      }
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
