import assert from 'node:assert/strict';
import { it } from 'node:test';
import { shellWord } from './shellWord.js';

it('words of suggested commands are quoted where a shell would split or expand them', () => {
  assert.equal(shellWord('runs/a-1.2_x'), 'runs/a-1.2_x');
  assert.equal(shellWord('my runs/a'), "'my runs/a'");
  assert.equal(shellWord("it's $HOME"), `'it'\\''s $HOME'`);
  assert.equal(shellWord(''), "''");
});
