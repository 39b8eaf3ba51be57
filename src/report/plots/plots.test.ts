import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { drawPlot } from '../../plot/draw.js';
import { classesPlot, sortedClasses } from './classesPlot.js';
import { curvePanelsPlot, curvesPlot } from './curvesPlot.js';
import { differencesPlot, histogram } from './differencesPlot.js';
import { plotLabel, plotLabels, valueScale } from './frame.js';
import { intervalsPlot } from './intervalsPlot.js';

const about = { title: 'k-NN on <b>val</b>.tar', about: 'a protocol & its data' };
const top1 = { name: 'top1', label: 'top-1', unit: 'share', better: 'higher' } as const;
const shares = { label: 'within one cell', unit: 'share' } as const;
/** Texts that the picture shows. */
const texts = (svg: string): string[] => [...svg.matchAll(/>([^<>]+)<\/text>/g)].map(([, text]) => text!);

describe('plots', () => {
  const warn = console.warn;
  const warnings: unknown[] = [];
  beforeEach(() => {
    warnings.length = 0;
    console.warn = (...args) => void warnings.push(args);
  });
  afterEach(() => {
    console.warn = warn;
    // Vega and Vega-Lite say so when they had to guess.
    assert.deepEqual(warnings, []);
  });

  it('show figures with intervals and units, and leave out figures without a value', async () => {
    const plot = intervalsPlot({
      ...about,
      name: 'p',
      figures: [top1, { name: 'px', label: 'error', unit: 'pixels', better: 'lower' }],
      subjects: [
        { name: 'a', figures: new Map([['top1', { value: 0.5, interval: [0.4, 0.6] as const }]]) },
        {
          name: 'b "\\',
          figures: new Map([
            ['top1', { value: null }],
            ['px', { value: null }],
          ]),
        },
        { name: 'c', figures: new Map([['top1', { value: 0.7 }]]), seeds: new Map([['top1', [0.69, 0.71]]]) },
      ],
    });
    const svg = await drawPlot(plot!.spec);
    const shown = texts(svg);
    for (const text of ['top-1, % (higher is better)', 'a', 'b "\\', 'c', 'a protocol &amp; its data']) {
      assert.ok(shown.includes(text), `${text} in ${shown.join('; ')}`);
    }
    assert.ok(shown.includes('k-NN on &lt;b&gt;val&lt;/b&gt;.tar'));
    assert.ok(!svg.includes('error, pixels'));
    assert.ok(!/\sid="/.test(svg), 'ids would collide in a page of several pictures');
    assert.equal(intervalsPlot({ ...about, name: 'p', figures: [top1], subjects: [] }), undefined);
  });

  it('are the same bytes each time', async () => {
    const { spec } = differencesPlot({
      ...about,
      name: 'p',
      comparisons: [{ label: 'top-1', unit: 'share', subject: 'a', baseline: 'b', differences: [0, 1, -1, 1] }],
    });
    assert.equal(await drawPlot(spec), await drawPlot(spec));
  });

  it('show curves with a gap where there is no value, and one legend entry for each', async () => {
    const x = [1, 2, 3, 4, 5];
    const interval = x.map(() => [0.1, 0.2] as const);
    const plot = curvesPlot({
      ...about,
      name: 'p',
      x: 'matches',
      y: shares,
      subjects: ['a', 'without curve', 'b'],
      curves: [
        { subject: 'a', x, y: [0.1, 0.2, null, 0.15, 0.1], intervals: interval },
        { subject: 'b', x, y: [0.2, 0.2, 0.2, 0.2, 0.2] },
      ],
    });
    const shown = texts(await drawPlot(plot!.spec));
    assert.deepEqual(
      shown.filter((text) => ['a', 'b', 'without curve'].includes(text)),
      ['a', 'b'],
    );
    assert.ok(shown.includes('within one cell, %') && shown.includes('matches'));
  });

  it('show panels of curves with a tick at each position, and no legend for a single line', async () => {
    const x = [0.75, 1, 4, 64];
    const none = {
      y: { label: 'none', unit: 'share' } as const,
      curves: [{ subject: 'line', x, y: x.map(() => null) }],
    };
    const panels = [{ y: shares, curves: [{ subject: 'line', x, y: [0.1, 0.2, 0.15, 0.1] }] }, none];
    const options = { ...about, name: 'p', x: 'matches', subjects: ['line'], positions: 'log' } as const;
    const shown = texts(await drawPlot(curvePanelsPlot({ ...options, panels })!.spec));
    assert.deepEqual(
      shown.filter((text) => x.includes(Number(text))),
      ['0.75', '1', '4', '64'],
    );
    for (const text of ['line', 'none, %']) assert.ok(!shown.includes(text), text);
    assert.equal(curvePanelsPlot({ ...options, panels: [none] }), undefined);
  });

  it('show values that are all equal with plain numbers', async () => {
    const figures = new Map([['top1', { value: 0, interval: [0, 0] as const }]]);
    const plot = intervalsPlot({ ...about, name: 'p', figures: [top1], subjects: [{ name: 'a', figures }] });
    const curves = [{ subject: 'a', x: [1, 2], y: [0.5, 0.5] }];
    const line = curvesPlot({ ...about, name: 'p', x: 'x', y: shares, subjects: ['a'], curves });
    for (const { spec } of [plot!, line!]) {
      const shown = texts(await drawPlot(spec));
      assert.ok(!shown.some((text) => /\.0000/.test(text)), shown.join('; '));
    }
  });

  it('take more values than a call has arguments', () => {
    const values = Array.from({ length: 300_000 }, (_, i) => (i % 2 === 0 ? 0.25 : null));
    assert.deepEqual(valueScale(values), { zero: false, domain: [0.225, 0.275] });
    assert.deepEqual(valueScale([...values, 0.5]), { zero: false });
  });

  it('are left out if no curve or class has a value', () => {
    const classes = [{ subject: 'a', values: new Map([['sky', null]]) }];
    assert.equal(classesPlot({ ...about, name: 'p', ...shares, subjects: ['a'], classes }), undefined);
    const curves = [{ subject: 'a', x: [1, 2], y: [null, null] }];
    assert.equal(curvesPlot({ ...about, name: 'p', x: 'x', y: shares, subjects: ['a'], curves }), undefined);
  });

  it('sort classes by the first subject', async () => {
    const classes = [
      {
        subject: 'a',
        values: new Map([
          ['sky', 0.2],
          ['road', 0.9],
          ['tree', null],
        ]),
      },
      {
        subject: 'b',
        values: new Map([
          ['sky', 0.3],
          ['car', 0.5],
        ]),
      },
    ];
    assert.deepEqual(sortedClasses(classes), ['road', 'sky', 'tree', 'car']);
    const plot = classesPlot({ ...about, name: 'p', label: 'IoU', unit: 'share', subjects: ['a', 'b'], classes });
    const shown = texts(await drawPlot(plot!.spec));
    assert.deepEqual(
      shown.filter((text) => ['sky', 'road', 'tree', 'car'].includes(text)),
      ['road', 'sky', 'tree', 'car'],
    );
  });
});

describe('histogram', () => {
  it('counts small whole numbers one by one, symmetric about 0', () => {
    assert.deepEqual(histogram([1, 1, 0, -1, 2]), [
      { from: -2.5, to: -1.5, count: 0 },
      { from: -1.5, to: -0.5, count: 1 },
      { from: -0.5, to: 0.5, count: 1 },
      { from: 0.5, to: 1.5, count: 2 },
      { from: 1.5, to: 2.5, count: 1 },
    ]);
    assert.deepEqual(
      histogram([0, 0]).map(({ count }) => count),
      [0, 2, 0],
    );
  });

  it('counts every other value once, the extremes too', () => {
    const values = [-0.73, 0.1, 0, 0.5, 0.73, 1e-9];
    const bins = histogram(values);
    assert.equal(bins.length, 31);
    assert.deepEqual([bins[0]!.count, bins[15]!.count, bins[30]!.count], [1, 2, 1]);
    assert.equal(
      bins.reduce((sum, { count }) => sum + count, 0),
      values.length,
    );
    for (const { from, to } of bins) assert.ok(to > from);
  });
});

describe('labels of plots', () => {
  it('leave out the middle of long names, and stay distinct', () => {
    const long = `${'a'.repeat(50)}-1`;
    assert.equal([...plotLabel(long)].length, 40);
    assert.ok(plotLabel(long).endsWith('-1'));
    const same = [`${'a'.repeat(30)}x${'a'.repeat(30)}`, `${'a'.repeat(30)}y${'a'.repeat(30)}`];
    assert.equal(new Set(plotLabels(same)).size, 2);
    assert.equal(plotLabel('a\nb\u0000'), 'a b\ufffd');
  });
});
