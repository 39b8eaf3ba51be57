import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { renderMarkdown } from './markdown.js';
import type { Block, Plot } from './report.js';

const rendered = (...blocks: Block[]): string =>
  renderMarkdown({ title: 'T', sections: [{ title: 'S', blocks }] }).slice('# T\n\n## S\n\n'.length);
const paragraph = (text: string) => rendered({ type: 'paragraph', text });

describe('renderMarkdown', () => {
  it('aligns tables in their source, for terminals', () => {
    const table = rendered({
      type: 'table',
      caption: 'C',
      columns: [{ label: 'a' }, { label: 'value', align: 'right' }],
      rows: [
        ['e\u0301', '1'],
        ['longer', '-22 %'],
      ],
    });
    assert.equal(table, 'C:\n\n| a      | value |\n| ------ | ----: |\n| e\u0301      |     1 |\n| longer | -22 % |\n');
  });

  it('escapes what Markdown or HTML would obey', () => {
    assert.equal(
      paragraph('<script>&amp; *a* `b` c|d ~~e~~ \\f'),
      '\\<script\\>\\&amp; \\*a\\* \\`b\\` c\\|d \\~\\~e\\~\\~ \\\\f\n',
    );
    assert.equal(paragraph('snake_case _emphasis_'), 'snake_case \\_emphasis\\_\n');
    assert.equal(paragraph('[1, 2] [a](http://x) ![b][c]'), '\\[1, 2] [a\\](http://x) ![b\\][c]\n');
    assert.equal(rendered({ type: 'paragraph', text: ['[a]', '(http://x)'] }), '\\[a\\](http://x)\n');
  });

  it('lets no text begin a heading, a list or a rule', () => {
    for (const [text, expected] of [
      ['# a', '\\# a'],
      ['  - a', '\\- a'],
      ['12. a', '12\\. a'],
      ['---', '\\---'],
      ['===', '\\==='],
      ['[ ] a', '\\[ ] a'],
    ] as const) {
      assert.equal(paragraph(text), `${expected}\n`);
      assert.equal(rendered({ type: 'notes', notes: [text] }), `- ${expected}\n`);
    }
  });

  it('keeps line breaks, control and reordering characters out', () => {
    assert.equal(paragraph('a\n\n# b\u001b[31mc\u202ed'), 'a # b\ufffd[31mc\ufffdd\n');
  });

  it('fences code by more backticks than it has, and escapes bars in it only in tables', () => {
    const text = [{ code: 'a `` | b' }];
    assert.equal(rendered({ type: 'paragraph', text }), '```a `` | b```\n');
    assert.match(rendered({ type: 'table', columns: [{ label: 'x' }], rows: [[text]] }), /\| ```a `` \\\| b``` \|/);
    assert.equal(rendered({ type: 'paragraph', text: [{ code: '`a' }] }), '`` `a ``\n');
  });

  it('links pictures, and leaves out plots without one', () => {
    const plot = { type: 'plot', name: 'p', alt: 'a [b]', spec: {} } as unknown as Plot;
    const report = { title: 'T', sections: [{ title: 'S', blocks: [plot] }] };
    assert.equal(renderMarkdown(report), '# T\n\n## S\n');
    assert.equal(
      renderMarkdown(report, { pictures: new Map([[plot, 'p.png']]) }),
      '# T\n\n## S\n\n![a [b\\]](p.png)\n',
    );
  });
});
