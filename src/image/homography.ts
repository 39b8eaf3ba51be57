/** Homographies between the pixels of two pictures, as 3 x 3 matrices of homogeneous points. */

/** Row-major 3 x 3: takes (x, y, 1) of one picture to another, in pixels, up to a factor. */
export type Homography = ArrayLike<number>;

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** The image of a point. Not finite for a point on the horizon. */
export function project(h: Homography, { x, y }: Point): Point {
  const w = h[6]! * x + h[7]! * y + h[8]!;
  return { x: (h[0]! * x + h[1]! * y + h[2]!) / w, y: (h[3]! * x + h[4]! * y + h[5]!) / w };
}

/** The product a b: first b is applied, then a. */
export function multiply(a: Homography, b: Homography): Homography {
  return Array.from({ length: 9 }, (_, i) => {
    const [row, column] = [Math.floor(i / 3) * 3, i % 3];
    return a[row]! * b[column]! + a[row + 1]! * b[column + 3]! + a[row + 2]! * b[column + 6]!;
  });
}

/** The inverse map, up to a factor. */
export function inverse(h: Homography): Homography {
  const minor = (a: number, b: number, c: number, d: number) => h[a]! * h[d]! - h[b]! * h[c]!;
  return [
    minor(4, 5, 7, 8),
    minor(2, 1, 8, 7),
    minor(1, 2, 4, 5),
    minor(5, 3, 8, 6),
    minor(0, 2, 6, 8),
    minor(2, 0, 5, 3),
    minor(3, 4, 6, 7),
    minor(1, 0, 7, 6),
    minor(0, 1, 3, 4),
  ];
}

/** The matrix scaled so that its last element is 1; unchanged if that is 0. */
export function normalised(h: Homography): Homography {
  const last = h[8]!;
  return Array.from(h, (value) => (last === 0 ? value : value / last));
}
