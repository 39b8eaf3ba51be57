import assert from 'node:assert/strict';
import { it } from 'node:test';
import { escapedLine, escapedText } from './controlCharacters.js';

const name = 'x\u001b]0;owned\u0007\u009b2Jé日\u202egpj.y\r';
const shown = 'x\\u001b]0;owned\\u0007\\u009b2Jé日\\u202egpj.y\\u000d';

it('control characters in text are escaped, and other characters stay', () => {
  assert.equal(escapedText(`a:\n\t${name}`), `a:\n\t${shown}`);
  assert.equal(escapedLine(`${name}\n\t`), `${shown}\\u000a\\u0009`);
  assert.equal(escapedText('a "b" \\u001b 😀'), 'a "b" \\u001b 😀');
});

it('escaped JSON means the same', () => {
  const value = { name, list: ['\u0085', '\n'] };
  assert.deepEqual(JSON.parse(escapedText(JSON.stringify(value, null, 2))), value);
});
