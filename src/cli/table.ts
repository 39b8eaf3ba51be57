import { escapedLine } from '../files/controlCharacters.js';

/** Rows as aligned columns separated by two spaces; undefined cells stay empty. Control characters are escaped: cells have names from files. */
export function table(given: readonly (readonly (string | undefined)[])[]): string {
  const rows = given.map((row) => row.map((cell = '') => escapedLine(cell)));
  const widths: number[] = [];
  for (const row of rows) {
    for (let i = 0; i < row.length; i++) widths[i] = Math.max(widths[i] ?? 0, row[i]!.length);
  }
  return rows
    .map((row) =>
      widths
        .map((width, i) => (row[i] ?? '').padEnd(width))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
