import sharp from 'sharp';

/** Row-major 3 x 3: takes (x, y, 1) of one picture to another, in pixels; the centre of the first pixel is (0.5, 0.5). */
export type Homography = readonly number[];

/** A picture file and where the original's pixels lie in it. */
export interface PlanarView {
  readonly file: Buffer;
  readonly truth: Homography;
}

/** Where a point goes. */
export function mapPoint(h: Homography, x: number, y: number): readonly [number, number] {
  const w = h[6]! * x + h[7]! * y + h[8]!;
  return [(h[0]! * x + h[1]! * y + h[2]!) / w, (h[3]! * x + h[4]! * y + h[5]!) / w];
}

/** The same map where the centre of the first pixel is (0, 0) on both sides, as in OpenCV's files, said in our coordinates. */
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

/** Nine numbers of a text file or of OpenCV's XML and YAML, the last nine where there are more. */
export function readHomographyFile(text: string): Homography {
  const body = /<data>([^<]*)<\/data>|data:\s*\[([^\]]*)\]/.exec(text);
  const numbers = ((body?.[1] ?? body?.[2] ?? text).match(/[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?/g) ?? []).map(
    Number,
  );
  if (numbers.length !== 9) throw new Error(`a homography is 9 numbers in rows; the file has ${numbers.length}`);
  return numbers;
}

/**
 * A photograph turned by degrees (clockwise on the screen) and scaled, on a grey canvas that holds all of it. libvips maps
 * the numbers of pixels, which are their centres, and begins the canvas at the whole pixel nearest to the turned corners.
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
