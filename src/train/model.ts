import { type BackboneConfig, backbone, headNorm } from '../nn/backbone.js';
import type { DropPath } from '../nn/dropPath.js';
import { mlp } from '../nn/heads.js';
import type { Parameters } from '../nn/parameters.js';
import type { Value } from '../onnx/graph.js';
import { reduceMean } from '../onnx/ops/reduce.js';
import { reshape } from '../onnx/ops/shape.js';

/** Backbone and heads for one view. Static shapes; the exported graphs are built in src/models from the same layers. */

export interface ModelConfig {
  readonly backbone: BackboneConfig;
  /** Widths of the expander; absent if there is no global loss. */
  readonly expander?: readonly number[];
  /** Widths of the local projector; absent if there is no local loss. */
  readonly localProjector?: readonly number[];
}

export interface ViewForward {
  /** [B, P, C], cells row-major. */
  readonly maps: Value;
  /** [B, C]. */
  readonly representation: Value;
  /** [B, D]. */
  readonly embedding?: Value;
  /** [B, P, D']. */
  readonly mapsEmbedding?: Value;
}

/** Forward pass of one view's normalised pixels [B, H, W, 3]. */
export function forwardView(
  pixels: Value,
  config: ModelConfig,
  parameters: Parameters,
  dropPath?: DropPath,
): ViewForward {
  const map = backbone(pixels, config.backbone, parameters, {
    prefix: 'backbone.',
    ...(dropPath === undefined ? {} : { dropPath }),
  });
  const [batch, rows, columns, channels] = map.shape as readonly [number, number, number, number];
  const maps = reshape(map, [batch, rows * columns, channels]);
  const representation = reduceMean(maps, [1]);
  const { expander, localProjector } = config;
  const norm = headNorm(config.backbone);
  return {
    maps,
    representation,
    ...(expander && { embedding: mlp(representation, parameters, 'projector', expander, norm) }),
    ...(localProjector && { mapsEmbedding: mlp(maps, parameters, 'maps_projector', localProjector, norm) }),
  };
}
