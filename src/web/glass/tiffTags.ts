/** What the first directory of a TIFF says; the EXIF block of other formats is a TIFF without pixels. */
export interface TiffTags {
  /** Size of the stored picture in pixels. */
  readonly width: number | undefined;
  readonly height: number | undefined;
  /** How the stored picture becomes upright, 1 to 8 (TIFF 6.0, page 36); 1: it is. */
  readonly orientation: number;
}

const TAGS = { width: 256, height: 257, orientation: 274 } as const;
const SHORT = 3;
const LONG = 4;
const ENTRY_BYTES = 12;

/** Reads the tags of a TIFF; undefined for anything else, and for one that is cut. */
export function tiffTags(bytes: Uint8Array): TiffTags | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 8) return undefined;
  const mark = view.getUint16(0);
  if (mark !== 0x4949 && mark !== 0x4d4d) return undefined;
  const little = mark === 0x4949;
  if (view.getUint16(2, little) !== 42) return undefined;
  const directory = view.getUint32(4, little);
  if (directory + 2 > view.byteLength) return undefined;
  const entries = view.getUint16(directory, little);
  const found = new Map<number, number>();
  for (let entry = 0; entry < entries; entry++) {
    const at = directory + 2 + entry * ENTRY_BYTES;
    if (at + ENTRY_BYTES > view.byteLength) return undefined;
    const type = view.getUint16(at + 2, little);
    if (type === SHORT) found.set(view.getUint16(at, little), view.getUint16(at + 8, little));
    if (type === LONG) found.set(view.getUint16(at, little), view.getUint32(at + 8, little));
  }
  const orientation = found.get(TAGS.orientation) ?? 1;
  return {
    width: found.get(TAGS.width),
    height: found.get(TAGS.height),
    orientation: orientation >= 1 && orientation <= 8 ? orientation : 1,
  };
}

/** Whether the upright picture has the sides of the stored one exchanged. */
export const turned = (orientation: number): boolean => orientation >= 5;
