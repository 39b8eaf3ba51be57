import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CropRectangle, PlacedImage, Resize } from '../client/image.js';
import { RESIZE_FORMS, readResizeText } from '../image/resizeText.js';
import { ofInput } from './ofInput.js';

export interface ImageFlags {
  readonly resize?: Resize;
  readonly crop?: CropRectangle;
}

/** Reads `native`, `fit:640x480`, `shortest:256` or `shortest:256,224`. */
export function parseResize(text: string): Resize {
  const read = readResizeText(text);
  if (read) return read;
  throw new InvalidArgumentError(`It must be ${RESIZE_FORMS}, in pixels of at least 1.`);
}

/** Reads `left,top,width,height` with an optional `,flip`. */
export function parseCrop(text: string): CropRectangle {
  const parts = /^(\d+),(\d+),(\d+),(\d+)(,flip)?$/.exec(text);
  if (!parts)
    throw new InvalidArgumentError('It must be LEFT,TOP,WIDTH,HEIGHT, optionally followed by ",flip" to mirror it.');
  const [left, top, width, height] = parts.slice(1, 5).map(Number) as [number, number, number, number];
  return { left, top, width, height, flip: parts[5] !== undefined };
}

/** Adds --resize. */
export function addResizeFlag(command: Command): Command {
  return command.addOption(
    new Option(
      '--resize <policy>',
      'native, fit:WxH or shortest:SIDE[,CROP] (default: that of the model, as in evaluation)',
    ).argParser(parseResize),
  );
}

/** Adds a flag for a crop of the original image. */
export function addCropFlag(command: Command, flag = '--crop', what = 'the image'): Command {
  return command.addOption(
    new Option(`${flag} <left,top,width,height[,flip]>`, `part of ${what} to use, in pixels`).argParser(parseCrop),
  );
}

/** Reads an image file, with the crop and resize of the flags. */
export async function readImageFile(path: string, { resize, crop }: ImageFlags): Promise<PlacedImage> {
  const pixels = await ofInput('the image', path, () => readFile(path));
  return { pixels, ...(resize && { resize }), ...(crop && { crop }) };
}
