/** One frame of a GIF. */
export interface GifFrame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Colour indices, with rows from the top. */
  readonly pixels: ArrayLike<number>;
  /** The transparent colour index. */
  readonly transparent?: number;
}

/** Codes of 8-bit colours start with 9 bits. Regular clear codes keep that length. */
const CODE_BITS = 9;
const CLEAR = 256;
const END = 257;
const PER_CLEAR = 250;

/** Colours without compression, with one code each. */
function codesOf(pixels: ArrayLike<number>): Buffer {
  const codes: number[] = [];
  for (let i = 0; i < pixels.length; i++) {
    if (i % PER_CLEAR === 0) codes.push(CLEAR);
    codes.push(pixels[i]!);
  }
  codes.push(END);
  const bytes = Buffer.alloc(Math.ceil((codes.length * CODE_BITS) / 8) + 1);
  for (const [i, code] of codes.entries()) {
    const at = (i * CODE_BITS) >> 3;
    bytes.writeUInt16LE(bytes.readUInt16LE(at) | ((code << ((i * CODE_BITS) & 7)) & 0xffff), at);
    const high = code >> (16 - ((i * CODE_BITS) & 7));
    if (high > 0 && at + 2 < bytes.length) bytes[at + 2]! |= high;
  }
  return bytes;
}

function blocks(data: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < data.length; at += 255) {
    const part = data.subarray(at, at + 255);
    parts.push(Buffer.from([part.length]), part);
  }
  return Buffer.concat([...parts, Buffer.from([0])]);
}

const words = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [i, value] of values.entries()) bytes.writeUInt16LE(value, i * 2);
  return bytes;
};

/** A GIF file. @param colours up to 256 colours of red, green and blue; the others are black */
export function writeGif(
  canvas: { readonly width: number; readonly height: number },
  colours: readonly (readonly number[])[],
  frames: readonly GifFrame[],
): Buffer {
  const table = Buffer.alloc(768);
  for (const [i, colour] of colours.entries()) table.set(colour, i * 3);
  const made = frames.map(({ left, top, width, height, pixels, transparent }) =>
    Buffer.concat([
      Buffer.from([0x21, 0xf9, 4, transparent === undefined ? 0 : 1, 10, 0, transparent ?? 0, 0]),
      Buffer.from([0x2c]),
      words(left, top, width, height),
      Buffer.from([0, 8]),
      blocks(codesOf(pixels)),
    ]),
  );
  return Buffer.concat([
    Buffer.from('GIF89a'),
    words(canvas.width, canvas.height),
    Buffer.from([0xf7, 0, 0]),
    table,
    ...made,
    Buffer.from([0x3b]),
  ]);
}
