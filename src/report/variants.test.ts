import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { renderMarkdown } from './markdown.js';
import { type VariantsTable, variantsSection } from './variants.js';

const table: VariantsTable = {
  id: 'alpha',
  title: 'Alpha',
  about: 'two variants, two seeds',
  figures: [
    { name: 'top1', label: 'top-1', unit: 'share', better: 'higher' },
    { name: 'miou', label: 'mIoU', unit: 'share', better: 'higher' },
  ],
  variants: ['alpha 1', 'alpha 0.75', 'not run yet'],
  measures: [
    { variant: 'alpha 1', seed: 2, figure: 'top1', value: 0.5 },
    { variant: 'alpha 1', seed: 1, figure: 'top1', value: 0.4, interval: [0.3, 0.5] },
    { variant: 'alpha 1', seed: null, figure: 'top1', value: 0.45, interval: [0.4, 0.5] },
    { variant: 'alpha 0.75', seed: 1, figure: 'top1', value: 0.6 },
    { variant: 'alpha 0.75', seed: 2, figure: 'top1', value: 0.7 },
    { variant: 'alpha 0.75', seed: 1, figure: 'miou', value: null },
  ],
  differences: [
    { variant: 'alpha 0.75', baseline: 'alpha 1', figure: 'top1', difference: 0.2, interval: [0.15, 0.25] },
  ],
  notes: ['a note'],
};

describe('variantsSection', () => {
  it('has values over seeds, paired differences, and the values of each seed', () => {
    const section = variantsSection(table);
    const markdown = renderMarkdown({ title: 'T', sections: [section] });
    assert.equal(
      markdown,
      `# T

## Alpha

two variants, two seeds.

| variant     | seeds |               top-1 | mIoU |
| ----------- | ----: | ------------------: | ---: |
| alpha 1     |     2 | 45.0 % [40.0, 50.0] |      |
| alpha 0.75  |     2 |              65.0 % |  n/a |
| not run yet |     0 |                     |      |

Differences, paired by seed:

| figure | compared             |                  difference | interval excludes 0 |
| ------ | -------------------- | --------------------------: | ------------------- |
| top-1  | alpha 0.75 - alpha 1 | +20.0 points [+15.0, +25.0] | yes: better         |

Each seed:

| variant    | seed |               top-1 | mIoU |
| ---------- | ---: | ------------------: | ---: |
| alpha 1    |    1 | 40.0 % [30.0, 50.0] |      |
| alpha 1    |    2 |              50.0 % |      |
| alpha 0.75 |    1 |              60.0 % |  n/a |
| alpha 0.75 |    2 |              70.0 % |      |

- a note
`,
    );
    assert.deepEqual(
      section.blocks.flatMap((block) => (block.type === 'plot' ? [block.name] : [])),
      ['alpha-figures'],
    );
  });

  it('has columns of the seeds of differences and of what their intervals are over, and further plots', () => {
    const [difference] = table.differences!;
    const plot = { type: 'plot' as const, name: 'further', alt: 'further', spec: {} as never };
    const { blocks } = variantsSection({
      ...table,
      differences: [
        { ...difference!, seeds: [1, 2], over: 'seeds and items' },
        { ...difference!, figure: 'miou', interval: [null, null] },
      ],
      plots: [plot],
    });
    const compared = blocks.filter((block) => block.type === 'table')[1]!;
    assert.deepEqual(
      compared.columns.map(({ label }) => label),
      ['figure', 'compared', 'seeds', 'difference', 'interval over', 'interval excludes 0'],
    );
    assert.deepEqual(
      compared.rows.map((row) => [row[2], row[4], row[5]]),
      [
        ['2', 'seeds and items', 'yes: better'],
        ['', '', 'no'],
      ],
    );
    assert.deepEqual(
      blocks.flatMap((block) => (block.type === 'plot' ? [block.name] : [])),
      ['alpha-figures', 'further'],
    );
  });

  it('refuses figures and variants that are not listed', () => {
    assert.throws(() => variantsSection({ ...table, figures: [] }), /the figure "top1" is not listed/);
    assert.throws(
      () => variantsSection({ ...table, variants: ['alpha 1'] }),
      /the variant "alpha 0\.75" is not listed/,
    );
  });
});
