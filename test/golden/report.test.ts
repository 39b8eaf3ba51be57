import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { pictureNames } from '../../src/report/drawReport.js';
import { renderMarkdown } from '../../src/report/markdown.js';
import { resultsReport } from '../../src/report/results/resultSections.js';
import { mixedResults } from '../support/tinyResults.js';

test('the report of results of three kinds is that of test/golden/report.md', async () => {
  const report = resultsReport(mixedResults());
  const pictures = new Map([...pictureNames(report)].map(([plot, name]) => [plot, `${name}.png`]));
  const markdown = renderMarkdown(report, { pictures });
  assert.equal(markdown, await readFile('test/golden/report.md', 'utf8'));
});
