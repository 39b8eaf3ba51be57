/** Rows as aligned columns separated by two spaces; undefined cells stay empty. */
export function table(rows: readonly (readonly (string | undefined)[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (let i = 0; i < row.length; i++) widths[i] = Math.max(widths[i] ?? 0, (row[i] ?? '').length);
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
