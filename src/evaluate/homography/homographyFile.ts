import { DataError } from '../../data/dataError.js';
import type { Homography } from '../../image/homography.js';

/** A determinant this small beside the product of the lengths of the rows: the plane would be mapped to a line. */
const SINGULAR = 1e-12;

/**
 * Checks that values are a homography.
 * @param what names them in the error
 * @throws DataError `malformed`
 */
export function checkedHomography(values: readonly unknown[], what: string): Homography {
  const isMatrix = values.length === 3 && values.every((row) => Array.isArray(row) && row.length === 3);
  const numbers = values.flat().map((value) => (typeof value === 'number' ? value : Number.NaN));
  if (numbers.length !== 9 || !(isMatrix || values.length === 9)) {
    const rows = values.filter((row) => Array.isArray(row)).map((row) => row.length);
    const found = rows.length > 0 ? `rows of ${rows.join(', ')} values` : `${numbers.length} numbers`;
    throw new DataError('malformed', `${what}: a homography is 3 rows of 3 numbers, and this has ${found}`);
  }
  const bad = numbers.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    const place = `row ${Math.floor(bad / 3) + 1}, column ${(bad % 3) + 1}`;
    throw new DataError('malformed', `${what}: the value in ${place} of the homography is not a finite number`);
  }
  const [a, b, c, d, e, f, g, h, i] = numbers as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  if (!(Math.abs(determinant) > SINGULAR * Math.hypot(a, b, c) * Math.hypot(d, e, f) * Math.hypot(g, h, i))) {
    throw new DataError('malformed', `${what}: the homography has no inverse; it must have rank 3`);
  }
  return numbers;
}

/** The matrix of a JSON value: 9 numbers, 3 rows of 3, or an object that holds one (OpenCV's `data`). */
function matrixOf(json: unknown): readonly unknown[] | undefined {
  if (Array.isArray(json)) return json;
  if (typeof json !== 'object' || json === null) return undefined;
  if ('data' in json && Array.isArray(json.data)) return json.data;
  const values = Object.values(json);
  return values.length === 1 ? matrixOf(values[0]) : undefined;
}

const numbersOf = (text: string): number[] =>
  text
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map(Number);

/**
 * Reads a homography from the text of a file: OpenCV's XML, YAML or JSON with one matrix, a JSON array of 9 numbers or of 3 rows,
 * or 9 numbers in rows, as in HPatches.
 * @param what names the file in errors
 * @throws DataError `malformed`
 */
export function readHomography(text: string, what: string): Homography {
  const trimmed = text.trim();
  if (/^[[{]/.test(trimmed)) {
    let json: unknown;
    try {
      json = JSON.parse(trimmed);
    } catch (cause) {
      throw new DataError('malformed', `${what} is not valid JSON: ${(cause as Error).message}`, { cause });
    }
    const matrix = matrixOf(json);
    if (matrix !== undefined) return checkedHomography(matrix, what);
    throw new DataError('malformed', `${what} has no matrix; write 9 numbers, or 3 rows of 3 numbers, as a JSON array`);
  }
  const data = /<data>([^<]*)<\/data>|data:\s*\[([^\]]*)\]/.exec(trimmed);
  return checkedHomography(numbersOf(data?.[1] ?? data?.[2] ?? trimmed), what);
}
