import assert from 'node:assert/strict';
import { it } from 'node:test';
import { table } from './table.js';

it('a table is as wide as its widest cells, with empty cells for undefined and missing ones', () => {
  assert.equal(table([['a', undefined, 'c'], ['bbb', 'd'], ['e']]), 'a       c\nbbb  d\ne');
  assert.equal(table([]), '');
});

it('names cannot send control characters to the terminal, or break rows', () => {
  assert.equal(
    table([
      ['n\u001b[31mred', 'x'],
      ['a\nb', 'y'],
    ]),
    'n\\u001b[31mred  x\na\\u000ab        y',
  );
});

it('a table may have more rows than a call has room for arguments', () => {
  const rows = Array.from({ length: 300_000 }, (_, i) => [String(i), 'x']);
  assert.equal(table(rows).split('\n')[7], '7       x');
});
