import type { TopLevelSpec } from 'vega-lite';
import type { Block, Plot, Report, Table } from './blocks.js';

/** Reports as Markdown and HTML. */

/** Draws a plot as SVG. */
export async function drawPlot(spec: TopLevelSpec): Promise<string> {
  // Imported lazily: loading the charting library takes time that only drawing needs.
  const [{ parse, View }, { compile }] = await Promise.all([import('vega'), import('vega-lite')]);
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG();
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();
const markdownText = (text: string): string => oneLine(text).replaceAll(/[\\`*[\]<>|~]/g, '\\$&');
const htmlText = (text: string): string =>
  oneLine(text).replaceAll(/[&<>"]/g, (each) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[each]!);

function markdownTable({ caption, columns, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const body = [
    line(columns.map(({ label }) => markdownText(label))),
    line(columns.map(({ align }) => (align === 'right' ? '---:' : '---'))),
    ...rows.map((row) => line(row.map(markdownText))),
  ].join('\n');
  return caption === undefined ? body : `${markdownText(caption)}:\n\n${body}`;
}

function markdownBlock(block: Block, withPictures: boolean): string {
  if (block.type === 'table') return markdownTable(block);
  if (block.type === 'paragraph') return markdownText(block.text);
  if (block.type === 'notes') return block.notes.map((note) => `- ${markdownText(note)}`).join('\n');
  return withPictures ? `![${markdownText(block.alt)}](${block.name}.png)` : '';
}

/** The report as Markdown. @param withPictures whether it shows PNG files beside it. */
export function renderMarkdown({ title, sections }: Report, withPictures: boolean): string {
  const parts = [
    `# ${markdownText(title)}`,
    ...sections.flatMap((section) => [
      `## ${markdownText(section.title)}`,
      ...section.blocks.map((block) => markdownBlock(block, withPictures)),
    ]),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function htmlTable({ caption, columns, rows }: Table): string {
  const cell = (tag: 'td' | 'th', text: string, i: number) =>
    `<${tag}${columns[i]!.align === 'right' ? ' class="right"' : ''}>${htmlText(text)}</${tag}>`;
  const head = columns.map(({ label }, i) => cell('th', label, i)).join('');
  const body = rows.map((row) => `<tr>${row.map((text, i) => cell('td', text, i)).join('')}</tr>`).join('\n');
  const title = caption === undefined ? '' : `<caption>${htmlText(caption)}</caption>`;
  return `<table>${title}<thead><tr>${head}</tr></thead><tbody>\n${body}\n</tbody></table>`;
}

function htmlBlock(block: Block, drawings: ReadonlyMap<Plot, string>): string {
  if (block.type === 'table') return htmlTable(block);
  if (block.type === 'paragraph') return `<p>${htmlText(block.text)}</p>`;
  if (block.type === 'notes') return `<ul>${block.notes.map((note) => `<li>${htmlText(note)}</li>`).join('')}</ul>`;
  return `<figure role="img" aria-label="${htmlText(block.alt)}">${drawings.get(block) ?? ''}</figure>`;
}

const STYLE =
  'body{font:15px/1.5 sans-serif;max-width:75em;margin:2em auto;padding:0 1em}table{border-collapse:collapse;margin:1em 0}' +
  'td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}.right{text-align:right}caption{text-align:left}' +
  'figure{margin:1em 0;overflow-x:auto}';

/** The report as one HTML file. @param drawings SVG of the plots. */
export function renderHtml({ title, sections }: Report, drawings: ReadonlyMap<Plot, string>): string {
  const body = sections.map(
    (section) =>
      `<h2>${htmlText(section.title)}</h2>\n${section.blocks.map((block) => htmlBlock(block, drawings)).join('\n')}`,
  );
  return (
    `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>${htmlText(title)}</title><style>${STYLE}</style></head>\n` +
    `<body><h1>${htmlText(title)}</h1>\n${body.join('\n')}\n</body></html>\n`
  );
}
