/** Messages between the service and its decode processes; pixels and files are sent as tensors (engine/messageCodec.ts). */

import type { NamedTensors } from '../engine/messageCodec.js';
import type { SentPicture, WantedInput } from '../image/decodeInput.js';
import type { ImageErrorCode } from '../image/imageError.js';
import type { AffineMap, PreparedImage, RgbImage, Size } from '../image/types.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** One piece of work; its tensors have names. */
export type DecodeWork =
  /**
   * Tensor `picture`, uint8 [bytes]: a file, or raw pixels with their size, which is not validated yet. The answer is that of
   * `inputTensors`.
   */
  | { readonly kind: 'input'; readonly raw?: Size; readonly wanted: WantedInput }
  /** Tensor `png`, uint8 [bytes]. The answer is `mask`, uint8 [height, width]. */
  | { readonly kind: 'mask'; readonly size: Size };

/** The failure of a piece of work; without a code, it is not an ImageError. */
export interface DecodeFailure {
  readonly code?: ImageErrorCode;
}

const bytesTensor = (bytes: Uint8Array): Tensor => tensor('uint8', [bytes.length], bytes);

const pixelTensor = ({ width, height, data }: RgbImage): Tensor => tensor('uint8', [height, width, 3], data);

function readPixels({ shape, data }: Tensor): RgbImage {
  return { width: shape[1]!, height: shape[0]!, data: data as Uint8Array };
}

/** The message and tensors for making a network input. */
export function inputQuestion(
  picture: SentPicture,
  wanted: WantedInput,
): { readonly work: DecodeWork; readonly tensors: NamedTensors } {
  if ('encoded' in picture)
    return { work: { kind: 'input', wanted }, tensors: { picture: bytesTensor(picture.encoded) } };
  const { width, height, data } = picture.raw;
  return { work: { kind: 'input', raw: { width, height }, wanted }, tensors: { picture: bytesTensor(data) } };
}

export function readPicture({ raw }: DecodeWork & { kind: 'input' }, { picture }: NamedTensors): SentPicture {
  const bytes = picture!.data as Uint8Array;
  return raw === undefined ? { encoded: bytes } : { raw: { ...raw, data: bytes } };
}

/** `pixels`, uint8 [height, width, 3], and `place`, float64: the map to the original (4 numbers) and its size (2). */
export function inputTensors({ image, toOriginal, original }: PreparedImage): NamedTensors {
  const { scaleX, scaleY, offsetX, offsetY } = toOriginal;
  const place = Float64Array.of(scaleX, scaleY, offsetX, offsetY, original.width, original.height);
  return { pixels: pixelTensor(image), place: tensor('float64', [place.length], place) };
}

export function readInput({ pixels, place }: NamedTensors): PreparedImage {
  const [scaleX, scaleY, offsetX, offsetY, width, height] = place!.data as Float64Array as unknown as number[];
  const toOriginal = { scaleX, scaleY, offsetX, offsetY } as AffineMap;
  return { image: readPixels(pixels!), toOriginal, original: { width: width!, height: height! } };
}

export function maskQuestion(png: Uint8Array): NamedTensors {
  return { png: bytesTensor(png) };
}

export function maskTensors({ width, height, data }: Size & { readonly data: Uint8Array | Uint16Array }): NamedTensors {
  // Only inside and outside matter.
  const mask = data instanceof Uint8Array ? data : Uint8Array.from(data, (value) => (value === 0 ? 0 : 1));
  return { mask: tensor('uint8', [height, width], mask) };
}

export function readMask({ mask }: NamedTensors): Size & { readonly data: Uint8Array } {
  const { shape, data } = mask!;
  return { width: shape[1]!, height: shape[0]!, data: data as Uint8Array };
}
