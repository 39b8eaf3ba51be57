/** A photograph that the page shows. */
export class Photo {
  readonly id: number;
  /** Name of its file. */
  readonly name: string;
  readonly base64: string;
  /** Upright, as the service sees it; undefined for a format that the service reads and the browser does not. */
  readonly bitmap: ImageBitmap | undefined;
  constructor(id: number, name: string, base64: string, bitmap: ImageBitmap | undefined) {
    this.id = id;
    this.name = name;
    this.base64 = base64;
    this.bitmap = bitmap;
  }
}

/** In blocks: a call with millions of arguments would overflow the stack. */
const BLOCK = 0x8000;

function toBase64(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let i = 0; i < bytes.length; i += BLOCK) parts.push(String.fromCharCode(...bytes.subarray(i, i + BLOCK)));
  return btoa(parts.join(''));
}

let photos = 0;

/** Reads a file. Whether it is a picture is the service's to say. */
export async function readPhoto(file: Blob, name: string): Promise<Photo> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' }).catch(() => undefined);
  photos += 1;
  return new Photo(photos, name, toBase64(bytes), bitmap);
}
