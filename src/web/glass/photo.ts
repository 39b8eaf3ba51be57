import { tiffTags, turned } from './tiffTags.js';
import { browserAppliesWebpOrientation, upright, webpOrientation } from './webpOrientation.js';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A photograph that the page shows. */
export class Photo {
  readonly id: number;
  /** Name of its file. */
  readonly name: string;
  readonly base64: string;
  /** Upright, as the service sees it; undefined for a format that the service reads and the browser does not. */
  readonly bitmap: ImageBitmap | undefined;
  /** Of the upright photograph in pixels, as far as it is known. */
  readonly size: Size | undefined;
  constructor(id: number, name: string, base64: string, bitmap: ImageBitmap | undefined, size: Size | undefined) {
    this.id = id;
    this.name = name;
    this.base64 = base64;
    this.bitmap = bitmap;
    this.size = size;
  }
}

/** In blocks: a call with millions of arguments would overflow the stack. */
const BLOCK = 0x8000;

function toBase64(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let i = 0; i < bytes.length; i += BLOCK) parts.push(String.fromCharCode(...bytes.subarray(i, i + BLOCK)));
  return btoa(parts.join(''));
}

/** The upright picture; undefined if the browser cannot decode the file. */
async function uprightBitmap(file: Blob, bytes: Uint8Array): Promise<ImageBitmap | undefined> {
  const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' }).catch(() => undefined);
  if (!bitmap) return undefined;
  const orientation = webpOrientation(bytes);
  return orientation === 1 || (await browserAppliesWebpOrientation()) ? bitmap : upright(bitmap, orientation);
}

/** The upright size of a TIFF, which most browsers cannot decode. */
function tiffSize(bytes: Uint8Array): Size | undefined {
  const { width, height, orientation } = tiffTags(bytes) ?? {};
  if (!width || !height) return undefined;
  return turned(orientation!) ? { width: height, height: width } : { width, height };
}

let photos = 0;

/** Reads a file. Whether it is a picture is the service's to say. */
export async function readPhoto(file: Blob, name: string): Promise<Photo> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const bitmap = await uprightBitmap(file, bytes);
  photos += 1;
  return new Photo(photos, name, toBase64(bytes), bitmap, bitmap ?? tiffSize(bytes));
}
