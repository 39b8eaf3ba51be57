import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mixedResults, type TinySubject, tinyResult } from '../../test/support/tinyResults.js';
import { drawReport } from './drawReport.js';
import { renderHtml } from './html.js';
import type { Report } from './report.js';
import { resultsReport } from './results/resultSections.js';

const page = async (report: Report): Promise<string> => renderHtml(report, await drawReport(report));

const HOSTILE = `<script>alert("1")</script>'"&<img src=x onerror=alert(1)>\u0000`;

describe('renderHtml', () => {
  it('has tables and pictures, and loads nothing', async () => {
    const html = await page(resultsReport(mixedResults()));
    assert.equal(html.match(/<svg /g)!.length, html.match(/<\/svg>/g)!.length);
    assert.equal(html.match(/<svg /g)!.length, 7);
    assert.match(html, /<td class="number">75\.0 % \[49\.7, 100\.0\]<\/td>/);
    assert.match(html, /<code>vicregl evaluate knn --train &#39;a b\.tar&#39; --test val\.tar<\/code>/);
    assert.match(html, /content="default-src 'none'; style-src 'unsafe-inline'"/);
    // Names of XML namespaces are no requests.
    const addresses = [...html.matchAll(/https?:\/\/[^"'\s<]*/g)].map(([address]) => address);
    assert.deepEqual([...new Set(addresses)].sort(), ['http://www.w3.org/1999/xlink', 'http://www.w3.org/2000/svg']);
    assert.doesNotMatch(html, /\s(src|href)=/);
  });

  it('escapes names from files wherever they stand', async () => {
    const subject: TinySubject = { name: HOSTILE, model: HOSTILE, values: [0.1, 0.25, 1, 0] };
    const baseline: TinySubject = { ...subject, name: `${HOSTILE}2`, model: `${HOSTILE}3`, values: [0, 0, 1, 0.5] };
    const [first] = tinyResult([subject, baseline]).data;
    const figure = { name: HOSTILE, label: HOSTILE, unit: 'share', better: 'higher', value: 0.5 } as const;
    const y = { label: HOSTILE, unit: 'share', values: [0.1, 0.2] } as const;
    const more = {
      figures: [figure],
      perItem: { [HOSTILE]: [0.1, 0.25, 1, 0] },
      curves: [
        { name: HOSTILE, label: HOSTILE, x: { label: HOSTILE, values: [1, 2] }, y: { ...y, values: [...y.values] } },
      ],
      classes: { figure: HOSTILE, label: HOSTILE, values: [{ name: HOSTILE, value: 0.5 }] },
    };
    const result = tinyResult(
      [
        { ...subject, more },
        { ...baseline, more },
      ],
      {
        protocol: HOSTILE,
        command: [HOSTILE],
        options: { [HOSTILE]: HOSTILE },
        data: [{ ...first!, source: HOSTILE, fingerprint: HOSTILE }],
        comparisons: [
          { figure: HOSTILE, subject: HOSTILE, baseline: `${HOSTILE}2`, difference: 0.1, interval: [0, 0.2] },
        ],
        notes: [HOSTILE],
      },
    );
    const files = [
      { path: `${HOSTILE}.json`, result },
      { path: 'b.json', result: { ...result, options: {} } },
    ];
    const html = await page({ ...resultsReport(files), title: HOSTILE });
    assert.equal(html.match(/<svg /g)!.length, 4);
    assert.doesNotMatch(html, /<script|<img/i);
    assert.ok(!html.includes('\u0000'));
    // Every tag is one of ours or of the pictures.
    const tags = [...new Set([...html.matchAll(/<\/?([a-z0-9]+)/gi)].map(([, tag]) => tag!))];
    const expected =
      'html head meta title style body h1 h2 p div table caption thead tbody tr th td ul li code figure svg g rect path text tspan line';
    assert.deepEqual(
      tags.filter((tag) => !expected.split(' ').includes(tag)),
      [],
    );
    // No quote ends an attribute early: none has an event handler.
    for (const [tag] of html.matchAll(/<[a-z][^>]*>/gi)) assert.doesNotMatch(tag.replace(/"[^"]*"/g, '""'), /onerror/);
  });
});
