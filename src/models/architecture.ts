import {
  architectureOf,
  type BackboneConfig,
  backboneOfArchitecture,
  stageSizes,
  withLayerScale,
  withOutputStride,
} from '../nn/backbone.js';
import type { Manifest } from './manifest.js';
import { ModelFolderError } from './modelFolderError.js';

/**
 * The backbone that a manifest describes: of its architecture's configuration, or of its depths and widths where the
 * architecture leaves them open.
 * @throws ModelFolderError for an unknown architecture, or a layer scale or stride that it cannot have.
 */
export function backboneOfManifest(
  manifest: Pick<Manifest, 'architecture' | 'depths' | 'widths' | 'layerScale' | 'stride'>,
): BackboneConfig {
  const { architecture, layerScale, stride } = manifest;
  try {
    const strided = withOutputStride(backboneOfArchitecture(architecture, manifest), stride);
    return layerScale === undefined ? strided : withLayerScale(strided, layerScale);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ModelFolderError(`the manifest's backbone cannot be built: ${cause.message}`, { cause });
  }
}

/**
 * Checks that an architecture name, with the sizes in its manifest, resolves to the same backbone.
 * @throws RangeError for an unknown name, or one of another backbone.
 */
export function requireArchitecture(architecture: string, config: BackboneConfig): void {
  const found = architectureOf(backboneOfArchitecture(architecture, stageSizes(config)));
  const expected = architectureOf(config);
  if (found !== expected)
    throw new RangeError(`architecture "${architecture}" is not that of the backbone, ${expected}`);
}
