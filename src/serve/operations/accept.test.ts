import assert from 'node:assert/strict';
import { test } from 'node:test';
import { preferredType } from './accept.js';

test('the preferred type is the one with the highest weight of its most specific range', () => {
  const types = ['application/json', 'application/octet-stream', 'application/zip'];
  const cases: [string, string | undefined][] = [
    ['*/*', 'application/json'],
    ['application/zip', 'application/zip'],
    ['text/html, application/*;q=0.5', 'application/json'],
    ['application/json;q=0.1, application/octet-stream', 'application/octet-stream'],
    ['*/*, application/json;q=0', 'application/octet-stream'],
    ['APPLICATION/ZIP ; q=1', 'application/zip'],
    ['text/html', undefined],
    ['', 'application/json'],
    [' , ', 'application/json'],
    [',application/zip,', 'application/zip'],
    ['application/json;q=x', undefined],
  ];
  for (const [accept, expected] of cases) assert.equal(preferredType(accept, types), expected, accept);
});
