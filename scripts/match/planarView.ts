import sharp from 'sharp';

/** Row-major 3 x 3 matrix that maps (x, y, 1) of one image to another, in pixels. The centre of the first pixel is (0.5, 0.5). */
export type Homography = readonly number[];

/** An image file, and the map from the original's pixels to its pixels. */
export interface PlanarView {
  readonly file: Buffer;
  readonly truth: Homography;
}

/** Applies a homography to a point. */
export function mapPoint(h: Homography, x: number, y: number): readonly [number, number] {
  const w = h[6]! * x + h[7]! * y + h[8]!;
  return [(h[0]! * x + h[1]! * y + h[2]!) / w, (h[3]! * x + h[4]! * y + h[5]!) / w];
}

/** Converts a homography of OpenCV, where the centre of the first pixel is (0, 0) in both images, to our coordinates. */
export function fromPixelCentres(h: Homography): Homography {
  // T(1/2) H T(-1/2).
  const at = (r: number) => h[r]! * -0.5 + h[r + 1]! * -0.5 + h[r + 2]!;
  const last = at(6);
  const rows = [
    [h[0]! + 0.5 * h[6]!, h[1]! + 0.5 * h[7]!, at(0) + 0.5 * last],
    [h[3]! + 0.5 * h[6]!, h[4]! + 0.5 * h[7]!, at(3) + 0.5 * last],
    [h[6]!, h[7]!, last],
  ];
  return rows.flat().map((value) => value / last);
}

/** Reads the 9 numbers of a homography from plain text, or from the data of OpenCV's XML or YAML. @throws Error for another count. */
export function readHomographyFile(text: string): Homography {
  const body = /<data>([^<]*)<\/data>|data:\s*\[([^\]]*)\]/.exec(text);
  const numbers = ((body?.[1] ?? body?.[2] ?? text).match(/[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?/g) ?? []).map(
    Number,
  );
  if (numbers.length !== 9) throw new Error(`a homography is 9 numbers in rows; the file has ${numbers.length}`);
  return numbers;
}

/**
 * Rotates a photograph by degrees (clockwise on the screen) and scales it, on a grey canvas that contains all of it. libvips
 * maps pixel indices, which are pixel centres. The canvas starts at the integer pixel nearest to the rotated corners.
 */
export async function turnedView(photo: Uint8Array, degrees: number, scale: number): Promise<PlanarView> {
  const { data, info } = await sharp(photo).rotate().removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  const file = await sharp(data, { raw: { width, height, channels: 3 } })
    .affine([cos, -sin, sin, cos], { interpolator: 'bicubic', background: '#808080' })
    .png()
    .toBuffer();
  const left = Math.round(Math.min(0, cos * width, -sin * height, cos * width - sin * height));
  const top = Math.round(Math.min(0, sin * width, cos * height, sin * width + cos * height));
  return { file, truth: fromPixelCentres([cos, -sin, -left, sin, cos, -top, 0, 0, 1]) };
}
