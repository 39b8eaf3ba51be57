import { type OutputLimits, sizeText } from '../../image/resize.js';
import type { Size } from '../../image/types.js';
import type { Manifest } from '../../models/manifest.js';
import { ServeError } from '../call/serveError.js';

/** The limits of network inputs. */
interface LimitedOutput {
  readonly output: OutputLimits;
}

/** The default size of a network input: the square of the model's preprocessing. */
export function ownSize({ preprocessing: { crop } }: Pick<Manifest, 'preprocessing'>): Size {
  return { width: crop, height: crop };
}

/**
 * Sizes for which a model is warmed up: its own size, and the allowed sizes.
 * @throws ServeError `invalid_argument` for a size that is not a multiple of the model's stride.
 */
export function warmSizes(
  manifest: Pick<Manifest, 'name' | 'stride' | 'preprocessing'>,
  sizes: readonly Size[] = [],
): readonly Size[] {
  const own = ownSize(manifest);
  const { name, stride } = manifest;
  for (const size of sizes) {
    if (size.width % stride === 0 && size.height % stride === 0) continue;
    const [width, height] = [size.width, size.height].map((side) => Math.max(1, Math.round(side / stride)) * stride);
    throw new ServeError(
      'invalid_argument',
      `inputSizes: ${sizeText(size)} is not a multiple of ${name}'s stride ${stride}; use ${width}x${height}`,
    );
  }
  return [own, ...sizes.filter(({ width, height }) => width !== own.width || height !== own.height)];
}

/**
 * The limits of one model: if the sizes of inputs are limited, the model's own size is added.
 * @throws as `warmSizes`.
 */
export function limitsForModel<T extends LimitedOutput>(limits: T, manifest: Parameters<typeof warmSizes>[0]): T {
  const { inputSizes } = limits.output;
  if (inputSizes === undefined) return limits;
  return { ...limits, output: { ...limits.output, inputSizes: warmSizes(manifest, inputSizes) } };
}
