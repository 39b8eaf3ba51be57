import { type BackboneConfig, backboneConfigs, withLayerScale, withOutputStride } from '../nn/backbone.js';
import type { Manifest } from './manifest.js';

/** A ResNet of sizes that have no name, by its blocks; `widths` are what the stages give, so four times a bottleneck's. */
const RESNET = /^resnet_(basic|bottleneck)$/;

function unnamed({
  architecture,
  depths,
  widths,
}: Pick<Manifest, 'architecture' | 'depths' | 'widths'>): BackboneConfig {
  const block = RESNET.exec(architecture)?.[1] as 'basic' | 'bottleneck' | undefined;
  if (block === undefined) return { depths, widths };
  return { block, layers: depths, width: widths[0]! / (block === 'bottleneck' ? 4 : 1) };
}

/** The backbone that a manifest describes: a named one, or a ResNet or ConvNeXt of its depths and widths. */
export function backboneOfManifest(
  manifest: Pick<Manifest, 'architecture' | 'depths' | 'widths' | 'layerScale' | 'stride'>,
): BackboneConfig {
  const { architecture, layerScale, stride } = manifest;
  const named: BackboneConfig = Object.hasOwn(backboneConfigs, architecture)
    ? backboneConfigs[architecture]!
    : unnamed(manifest);
  const strided = withOutputStride(named, stride);
  return layerScale === undefined ? strided : withLayerScale(strided, layerScale);
}
