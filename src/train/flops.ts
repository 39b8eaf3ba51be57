import { convNextStride } from '../nn/convnext.js';
import type { ModelConfig } from './model.js';

/**
 * Forward model FLOPs of one image over all its views: 2 x multiply-adds of convolutions and linear layers (the
 * convention of the ConvNeXt and ResNet papers times two); norms, activations and the loss are not counted.
 */
export function modelFlops(
  { backbone, expander = [], localProjector = [] }: ModelConfig,
  viewSizes: readonly number[],
): number {
  const { depths, widths } = backbone;
  const head = (input: number, layers: readonly number[]) =>
    layers.reduce((sum, width, i) => sum + width * (layers[i - 1] ?? input), 0);
  const channels = widths.at(-1) ?? 0;
  return viewSizes.reduce((total, size) => {
    let multiplyAdds = 0;
    widths.forEach((width, stage) => {
      const cells = Math.floor(size / (4 * 2 ** stage)) ** 2;
      const patch = stage === 0 ? 3 * 16 : widths[stage - 1]! * 4;
      const block = width * 49 + 8 * width * width;
      multiplyAdds += cells * (patch * width + depths[stage]! * block);
    });
    const cells = Math.floor(size / convNextStride(backbone)) ** 2;
    multiplyAdds += head(channels, expander) + cells * head(channels, localProjector);
    return total + 2 * multiplyAdds;
  }, 0);
}
