import { printable } from './printable.js';
import type { Block, Plot, Report, Table, Text } from './report.js';

/** Reports as Markdown (GitHub's dialect, which has tables). */

/**
 * Backslashes before all that Markdown or HTML within it would obey. An underscore inside a word means nothing, and neither
 * do brackets without what makes them a link: `](`, `][` and `]:`.
 * @param continues whether more text follows on the line.
 */
function escaped(text: string, continues = false): string {
  return printable(text)
    .replace(/[\\`*<>&|~]/g, '\\$&')
    .replace(/\](?=[([:])/g, '\\]')
    .replace(/\]$/, continues ? '\\]' : ']')
    .replace(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, '\\_');
}

/** A code span whose fence is longer than any run of backticks inside. */
function codeSpan(code: string): string {
  const text = printable(code);
  const longest = Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  const space = /^`|`$|^ .* $/.test(text) ? ' ' : '';
  return text === '' ? '' : `${fence}${space}${text}${space}${fence}`;
}

const isCode = (part: string | { readonly code: string }): part is { readonly code: string } =>
  typeof part !== 'string';

function textOf(text: Text): string {
  if (typeof text === 'string') return escaped(text);
  return text.map((part, i) => (isCode(part) ? codeSpan(part.code) : escaped(part, i < text.length - 1))).join('');
}

/** In a table a bar ends the cell even inside code. */
const cellOf = (text: Text): string =>
  typeof text === 'string' ? escaped(text) : textOf(text).replace(/(?<!\\)\|/g, '\\|');

/** Without a meaning at the beginning of a line: a heading, a list, a task, a rule. */
const lineOf = (text: Text): string =>
  textOf(text)
    .trimStart()
    .replace(/^([#+=[-]|\d+(?=[.)]))/, (start) => (/\d/.test(start) ? `${start}\\` : `\\${start}`));

/** Number of characters as they are seen: combining ones belong to the one before. */
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const widthOf = (text: string): number => [...graphemes.segment(text)].length;

/** A table whose columns are aligned in the source too, so that it can be read on a terminal. */
function tableOf({ caption, columns, rows }: Table): string {
  const cells = [columns.map(({ label }) => escaped(label)), ...rows.map((row) => row.map(cellOf))];
  const widths = columns.map((_, i) => Math.max(3, ...cells.map((row) => widthOf(row[i] ?? ''))));
  const isRight = (i: number): boolean => columns[i]!.align === 'right';
  const line = (row: readonly string[]): string => {
    const padded = widths.map((width, i) => {
      const cell = row[i] ?? '';
      const space = ' '.repeat(width - widthOf(cell));
      return isRight(i) ? space + cell : cell + space;
    });
    return `| ${padded.join(' | ')} |`;
  };
  const rule = `| ${widths.map((width, i) => (isRight(i) ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width))).join(' | ')} |`;
  const [header, ...body] = cells;
  const table = [line(header!), rule, ...body.map(line)].join('\n');
  return caption === undefined ? table : `${escaped(caption)}:\n\n${table}`;
}

function blockOf(block: Block, pictureOf: (plot: Plot) => string | undefined): string | undefined {
  switch (block.type) {
    case 'paragraph':
      return lineOf(block.text);
    case 'table':
      return tableOf(block);
    case 'notes':
      return block.notes.map((note) => `- ${lineOf(note)}`).join('\n');
    case 'plot': {
      const picture = pictureOf(block);
      return picture === undefined ? undefined : `![${escaped(block.alt, true)}](${picture})`;
    }
  }
}

/**
 * The report as Markdown, with a newline at its end.
 * @param pictures paths of the plots' pictures, as links; a plot without one is left out.
 */
export function renderMarkdown(
  { title, sections }: Report,
  { pictures }: { readonly pictures?: ReadonlyMap<Plot, string> } = {},
): string {
  const parts = [
    `# ${escaped(title)}`,
    ...sections.flatMap((section) => [
      `## ${escaped(section.title)}`,
      ...section.blocks.map((block) => blockOf(block, (plot) => pictures?.get(plot))),
    ]),
  ];
  return `${parts.filter((part) => part !== undefined && part !== '').join('\n\n')}\n`;
}
