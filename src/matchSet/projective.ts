/** 3 x 3 matrices of homogeneous points, row-major. */
export type Matrix3 = readonly number[];

/** The product a b: first b is applied, then a. */
export function multiply(a: Matrix3, b: Matrix3): number[] {
  return Array.from({ length: 9 }, (_, i) => {
    const [row, column] = [Math.floor(i / 3) * 3, i % 3];
    return a[row]! * b[column]! + a[row + 1]! * b[column + 3]! + a[row + 2]! * b[column + 6]!;
  });
}

/** The inverse of a matrix up to its scale (the adjugate). */
export function inverted([a, b, c, d, e, f, g, h, i]: Matrix3): number[] {
  const [A, B, C, D, E, F, G, H, I] = [a!, b!, c!, d!, e!, f!, g!, h!, i!];
  return [
    E * I - F * H,
    C * H - B * I,
    B * F - C * E,
    F * G - D * I,
    A * I - C * G,
    C * D - A * F,
    D * H - E * G,
    B * G - A * H,
    A * E - B * D,
  ];
}

/** The matrix scaled so that its last element is 1; unchanged if that is 0. */
export function normalised(matrix: Matrix3): number[] {
  const last = matrix[8]!;
  return matrix.map((value) => (last === 0 ? value : value / last));
}

/** Maps a point. */
export function project(matrix: Matrix3, x: number, y: number): readonly [number, number] {
  const w = matrix[6]! * x + matrix[7]! * y + matrix[8]!;
  return [(matrix[0]! * x + matrix[1]! * y + matrix[2]!) / w, (matrix[3]! * x + matrix[4]! * y + matrix[5]!) / w];
}
