import type { Picture } from './drawReport.js';
import { printable } from './printable.js';
import type { Block, Plot, Report, Table, Text } from './report.js';

/** Reports as one HTML file: styles and pictures are inside, and nothing is loaded or run. */

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Safe as the content of an element and as a quoted attribute. */
const escaped = (text: string): string => printable(text).replace(/[&<>"']/g, (character) => ENTITIES[character]!);

const textOf = (text: Text): string =>
  typeof text === 'string'
    ? escaped(text)
    : text.map((part) => (typeof part === 'string' ? escaped(part) : `<code>${escaped(part.code)}</code>`)).join('');

function tableOf({ caption, columns, rows }: Table): string {
  const classOf = (i: number): string => (columns[i]?.align === 'right' ? ' class="number"' : '');
  const header = columns.map(({ label }, i) => `<th${classOf(i)}>${escaped(label)}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map((cell, i) => `<td${classOf(i)}>${textOf(cell)}</td>`).join('')}</tr>`);
  return [
    '<div class="table"><table>',
    ...(caption === undefined ? [] : [`<caption>${escaped(caption)}</caption>`]),
    `<thead><tr>${header}</tr></thead>`,
    `<tbody>\n${body.join('\n')}\n</tbody>`,
    '</table></div>',
  ].join('\n');
}

function blockOf(block: Block, pictures: ReadonlyMap<Plot, Picture>): string {
  switch (block.type) {
    case 'paragraph':
      return `<p>${textOf(block.text)}</p>`;
    case 'table':
      return tableOf(block);
    case 'notes':
      return `<ul class="notes">\n${block.notes.map((note) => `<li>${textOf(note)}</li>`).join('\n')}\n</ul>`;
    case 'plot': {
      const picture = pictures.get(block);
      // Vega escapes texts and attributes of its SVG itself.
      return picture === undefined
        ? ''
        : `<figure role="img" aria-label="${escaped(block.alt)}">${picture.svg}</figure>`;
    }
  }
}

const STYLE = `
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; color: #1a1a1a; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid #ddd; padding-bottom: .3rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem; }
caption { text-align: left; color: #555; padding-bottom: .3rem; }
th, td { text-align: left; padding: .3rem .8rem; border-bottom: 1px solid #e5e5e5; white-space: nowrap; }
th { border-bottom: 2px solid #999; font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; overflow-x: auto; } figure svg { max-width: 100%; height: auto; }
.notes { color: #555; font-size: .85rem; overflow-wrap: anywhere; }
`;

/** The report as a page. Its policy forbids scripts and requests, should an escape ever be missed. */
export function renderHtml({ title, sections }: Report, pictures: ReadonlyMap<Plot, Picture>): string {
  const body = sections.flatMap((section) => [
    `<h2>${escaped(section.title)}</h2>`,
    ...section.blocks.map((block) => blockOf(block, pictures)),
  ]);
  return `${[
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    '</head>',
    '<body>',
    `<h1>${escaped(title)}</h1>`,
    ...body,
    '</body>',
    '</html>',
  ]
    .filter((line) => line !== '')
    .join('\n')}\n`;
}
