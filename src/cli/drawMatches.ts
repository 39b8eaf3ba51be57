import type { Grid } from '../client/grid.js';
import type { PlacedImage } from '../client/image.js';
import type { Matches } from '../client/matches.js';
import { decodeImage } from '../image/decode.js';
import { type DrawnImage, drawMatches } from '../match/draw.js';

async function drawnImage({ pixels, crop }: PlacedImage, { cellToPixel }: Grid): Promise<DrawnImage> {
  return {
    image: await decodeImage(pixels as Uint8Array),
    cell: { width: Math.abs(cellToPixel.scaleX), height: Math.abs(cellToPixel.scaleY) },
    ...(crop && { crop }),
  };
}

/** Draws the matches of two image files on their originals. @returns a PNG file */
export async function drawMatchesOf(a: PlacedImage, b: PlacedImage, matches: Matches): Promise<Buffer> {
  return drawMatches(await drawnImage(a, matches.gridA), await drawnImage(b, matches.gridB), matches.pairs);
}
