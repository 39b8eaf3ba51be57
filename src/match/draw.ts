import sharp from 'sharp';
import { withSvg } from '../image/loaders.js';
import type { Rectangle, RgbImage, Size } from '../image/types.js';

/** A cell to draw: its centre in the image's pixels. */
export interface DrawnCell {
  readonly x: number;
  readonly y: number;
}

/** A polygon in an image's pixels, clipped to the image. */
export interface DrawnOutline {
  readonly points: readonly { readonly x: number; readonly y: number }[];
  readonly colour: string;
  readonly dashed: boolean;
}

/** One of the two pictures. */
export interface DrawnImage {
  readonly image: RgbImage;
  /** Size of a cell in the image's pixels. */
  readonly cell: Size;
  /** The part that was matched, to be outlined. Absent: the whole image. */
  readonly crop?: Rectangle;
  readonly outlines?: readonly DrawnOutline[];
}

/** Height of both pictures in the figure, and the gap between them, in pixels. */
const HEIGHT = 512;
/** Widest a picture may become: at HEIGHT, one that is 1,000 x 1 pixels would become 512,000 pixels wide. */
const MAX_WIDTH = 4096;
const GAP = 16;

/** Degrees between the hues of consecutive pairs, so that all hues are far apart and crossing lines are distinguishable. */
const GOLDEN_ANGLE = 137.508;

function placed(side: DrawnImage, left: number) {
  const scale = Math.min(HEIGHT / side.image.height, MAX_WIDTH / side.image.width);
  const number = (value: number) => value.toFixed(1);
  return {
    left,
    width: Math.max(1, Math.round(side.image.width * scale)),
    height: Math.max(1, Math.round(side.image.height * scale)),
    x: (value: number) => number(left + value * scale),
    y: (value: number) => number(value * scale),
    size: (value: number) => number(value * scale),
  };
}

type Placed = ReturnType<typeof placed>;

function outline({ crop }: DrawnImage, at: Placed): string {
  if (!crop) return '';
  const box = `x="${at.x(crop.left)}" y="${at.y(crop.top)}" width="${at.size(crop.width)}" height="${at.size(crop.height)}"`;
  return `<rect ${box} stroke="white" stroke-width="2" stroke-dasharray="8 6"/>`;
}

/** Coordinates far outside, such as those near a horizon, would overflow the renderer. */
const FARTHEST = 1e6;

/** The outlines of an image. @param id of the clipping rectangle, unique in the drawing */
function polygons({ outlines = [] }: DrawnImage, at: Placed, id: string): string {
  if (outlines.length === 0) return '';
  const near = (value: number) => Math.min(FARTHEST, Math.max(-FARTHEST, value));
  const drawn = outlines.map(({ points, colour, dashed }) => {
    const path = points.map(({ x, y }) => `${at.x(near(x))},${at.y(near(y))}`).join(' ');
    return `<polygon points="${path}" stroke="${colour}" stroke-width="3"${dashed ? ' stroke-dasharray="10 6"' : ''}/>`;
  });
  const clip = `<clipPath id="${id}"><rect x="${at.left}" y="0" width="${at.width}" height="${at.height}"/></clipPath>`;
  return `${clip}<g clip-path="url(#${id})">${drawn.join('')}</g>`;
}

function box({ x, y }: DrawnCell, { cell }: DrawnImage, at: Placed, colour: string): string {
  const corner = `x="${at.x(x - cell.width / 2)}" y="${at.y(y - cell.height / 2)}"`;
  return `<rect ${corner} width="${at.size(cell.width)}" height="${at.size(cell.height)}" stroke="${colour}" stroke-width="2"/>`;
}

async function scaled({ data, width, height }: RgbImage, at: Placed): Promise<Buffer> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .resize(at.width, at.height, { fit: 'fill' })
    .png()
    .toBuffer();
}

/**
 * The paper's figure: both images side by side, boxes around matched cells, a line between the cells of each pair, one colour a pair.
 * @param pairs centres in the pixels of each image
 * @returns a PNG file
 */
export async function drawMatches(
  a: DrawnImage,
  b: DrawnImage,
  pairs: readonly { readonly a: DrawnCell; readonly b: DrawnCell }[],
): Promise<Buffer> {
  const atA = placed(a, 0);
  const atB = placed(b, atA.width + GAP);
  const width = atB.left + atB.width;
  const drawn = pairs.map((pair, i) => {
    const colour = `hsl(${((i * GOLDEN_ANGLE) % 360).toFixed(0)}, 90%, 55%)`;
    const ends = `x1="${atA.x(pair.a.x)}" y1="${atA.y(pair.a.y)}" x2="${atB.x(pair.b.x)}" y2="${atB.y(pair.b.y)}"`;
    const line = `<line ${ends} stroke="${colour}" stroke-width="1.5"/>`;
    return `${box(pair.a, a, atA, colour)}${box(pair.b, b, atB, colour)}${line}`;
  });
  const overlay =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${HEIGHT}"><g fill="none">` +
    `${outline(a, atA)}${outline(b, atB)}${drawn.join('')}` +
    `${polygons(a, atA, 'a')}${polygons(b, atB, 'b')}</g></svg>`;
  const [left, right] = [await scaled(a.image, atA), await scaled(b.image, atB)];
  return withSvg(() =>
    sharp({ create: { width, height: HEIGHT, channels: 3, background: 'white' } })
      .composite([
        { input: left, left: atA.left, top: 0 },
        { input: right, left: atB.left, top: 0 },
        { input: Buffer.from(overlay), left: 0, top: 0 },
      ])
      .png()
      .toBuffer(),
  );
}
