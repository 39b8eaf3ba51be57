import { basename } from 'node:path';
import { openFileSource } from '../checkpoint/byteSource.js';
import { openCheckpoint } from '../checkpoint/openCheckpoint.js';
import { inFile } from '../checkpoint/torchZip.js';
import { silentProgress } from '../progress/work.js';
import { exportModel } from './exportModel.js';
import type { ExportOptions } from './exportSource.js';
import { type ImportedNetwork, readNetwork } from './importNetwork.js';
import { fileSha256 } from './listedFile.js';
import type { Manifest } from './manifest.js';

/** Names of the authors' published files; their weights are CC BY-NC. */
const AUTHORS_FILE = /^(resnet50(x2)?|convnext_(small|base|xlarge))_alpha0\.\d+(_fullckpt)?\.pth$/;
export const AUTHORS_LICENSE = 'CC-BY-NC-4.0';
/** Licence of weights for which none is stated. */
export const UNKNOWN_LICENSE = 'unknown';

/** Licence of a file's weights, as far as its name implies it. */
export function licenseOfFile(file: string): string {
  return AUTHORS_FILE.test(basename(file)) ? AUTHORS_LICENSE : UNKNOWN_LICENSE;
}

/** The weight of the global loss in a file's name, such as resnet50_alpha0.75.pth; undefined if it has none in 0..1. */
export function alphaOfFile(file: string): number | undefined {
  const text = /_alpha([01](?:\.\d+)?)(?=[_.]|$)/.exec(basename(file))?.[1];
  return text === undefined || Number(text) > 1 ? undefined : Number(text);
}

export interface ImportOptions extends ExportOptions {
  readonly name: string;
  /** Name of the architecture. Absent: inferred. */
  readonly architecture?: string | undefined;
  /** Selects one of several backbones in the file: the prefix of its names, such as `module.encoder_q.`. */
  readonly prefix?: string | undefined;
  /** Weight of the global loss in training. Absent: that in the file's name, else unknown. */
  readonly alpha?: number | undefined;
  readonly license: string;
  /** Whether the expander is imported; if not, it is not checked either. */
  readonly writeExpander: boolean;
}

export interface ImportResult {
  readonly manifest: Manifest;
  readonly network: ImportedNetwork;
}

/**
 * Writes a checkpoint file as a model folder.
 * @throws CheckpointFileError, with nothing written, for a file that cannot be read or does not fit; ParameterError for a weight that is
 *   not finite in float32.
 */
export async function importCheckpoint(file: string, dir: string, options: ImportOptions): Promise<ImportResult> {
  const { name, architecture, prefix, alpha, license, writeExpander, ...variant } = options;
  const source = await openFileSource(file);
  try {
    const checkpoint = await openCheckpoint(source);
    const network = inFile(file, () =>
      readNetwork(checkpoint, { architecture, prefix, expander: writeExpander, fileBytes: source.size }),
    );
    const { expander, localProjector, classes, poolingOrder, leftOut } = network;
    const { progress = silentProgress } = options;
    progress.begin('reading the checkpoint', source.size / 1e6, 'MB');
    const sha256 = await fileSha256(file, (bytes) => progress.advance(bytes / 1e6));
    const manifest = await exportModel(
      dir,
      {
        name,
        version: '1',
        architecture: network.architecture,
        backbone: network.backbone,
        ...(expander && { expander }),
        ...(localProjector && { localProjector }),
        writeExpander,
        ...(classes && { classes }),
        ...(poolingOrder && { poolingOrder }),
        alpha: alpha ?? alphaOfFile(file),
        weights: network.weights,
        license,
        source: { file: basename(file), sha256 },
        training: {
          note: `imported from ${basename(file)} (${checkpoint.format})`,
          checkpoint: { ...checkpoint.facts },
          ...(leftOut.length > 0 && { leftOut: leftOut.map((part) => ({ ...part })) }),
        },
      },
      variant,
    );
    return { manifest, network };
  } finally {
    await source.close();
  }
}
