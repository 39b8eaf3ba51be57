import { type BackboneConfig, backboneConfigs, withLayerScale, withOutputStride } from '../nn/backbone.js';
import type { Manifest } from './manifest.js';

/** The backbone that a manifest describes: a named one, or a ConvNeXt of its depths and widths. */
export function backboneOfManifest(
  manifest: Pick<Manifest, 'architecture' | 'depths' | 'widths' | 'layerScale' | 'stride'>,
): BackboneConfig {
  const { architecture, depths, widths, layerScale, stride } = manifest;
  const named: BackboneConfig = Object.hasOwn(backboneConfigs, architecture)
    ? backboneConfigs[architecture]!
    : { depths, widths };
  const strided = withOutputStride(named, stride);
  return layerScale === undefined ? strided : withLayerScale(strided, layerScale);
}
