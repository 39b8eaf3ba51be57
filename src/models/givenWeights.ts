import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { openFileSource } from '../checkpoint/byteSource.js';
import { openCheckpoint } from '../checkpoint/openCheckpoint.js';
import { inFile } from '../checkpoint/torchZip.js';
import { manifestFileName, openModelFolder } from './folder.js';
import { licenseOfFile } from './importCheckpoint.js';
import { type LeftOut, readNetwork } from './importNetwork.js';
import { fileSha256 } from './listedFile.js';
import type { Manifest } from './manifest.js';
import { ModelFolderError } from './modelFolderError.js';
import { readWeights } from './readWeights.js';
import type { WeightSource } from './weightSource.js';

/** Weights that a training run starts from: of a model folder, or of a checkpoint in any supported format. */
export interface GivenWeights extends WeightSource {
  /** The file that identifies them; of a model folder its manifest, which has the checksums of all other files. */
  readonly file: string;
  readonly sha256: string;
  /** Prefix of the backbone's names in a checkpoint; empty if it has none. */
  readonly prefix?: string;
  readonly architecture: string;
  readonly license: string;
  readonly poolingOrder?: NonNullable<Manifest['poolingOrder']>;
  /** What else a checkpoint holds. */
  readonly leftOut: readonly LeftOut[];
  close(): Promise<void>;
}

/** Whether a path is a model folder, by its manifest. */
export async function isModelFolder(path: string): Promise<boolean> {
  return (await stat(join(path, manifestFileName)).catch(() => undefined)) !== undefined;
}

async function openModelWeights(dir: string, prefix: string | undefined): Promise<GivenWeights> {
  if (prefix !== undefined) {
    throw new ModelFolderError(`${dir} is a model folder, which has one encoder; "${prefix}" is for checkpoint files`);
  }
  const folder = await openModelFolder(dir);
  const { architecture, license, poolingOrder } = folder.manifest;
  return {
    ...(await readWeights(folder)),
    file: `${basename(resolve(dir))}/${manifestFileName}`,
    sha256: await fileSha256(join(dir, manifestFileName)),
    ...{ architecture, license, leftOut: [] },
    ...(poolingOrder && { poolingOrder }),
    close: async () => undefined,
  };
}

async function openCheckpointWeights(path: string, prefix: string | undefined): Promise<GivenWeights> {
  const source = await openFileSource(path);
  try {
    const checkpoint = await openCheckpoint(source);
    const network = inFile(path, () =>
      readNetwork(checkpoint, { prefix, prefixFlag: '--init-prefix', fileBytes: source.size, incomplete: true }),
    );
    const { architecture, poolingOrder, leftOut } = network;
    return {
      ...network.weights,
      file: basename(path),
      sha256: await fileSha256(path),
      prefix: network.prefix,
      ...{ architecture, leftOut, license: licenseOfFile(path) },
      ...(poolingOrder && { poolingOrder }),
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * Opens the weights of a model folder or a checkpoint file, under the names of the authors' checkpoints. Only names and
 * shapes are read here. A checkpoint's backbone may be incomplete; tensors have the shapes of the file.
 * @param prefix which of several encoders of a checkpoint.
 * @throws CheckpointFileError or ModelFolderError if it cannot be read, or a model folder does not hold float weights.
 */
export async function openGivenWeights(path: string, prefix?: string): Promise<GivenWeights> {
  return (await isModelFolder(path)) ? openModelWeights(path, prefix) : openCheckpointWeights(path, prefix);
}
