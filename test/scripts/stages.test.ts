import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStages } from '../../scripts/container/stages.js';

const runs = (...lines: string[]): string[] =>
  parseStages(['FROM debian:12', ...lines].join('\n'))[0]!.steps.map(({ text }) => text);

test('the text after RUN reaches the shell unchanged', () => {
  const commands = [
    String.raw`find dist \( -name '*.test.*' -o -name "*.map" \) -delete`,
    String.raw`printf 'a\nb\\c' > "/tmp/x y" && echo \$HOME '#' "# no comment"`,
    'grep  two  blanks  file',
  ];
  assert.deepEqual(runs(...commands.map((command) => `RUN ${command}`)), commands);
});

test('continued lines are joined without a separator, and comments and empty lines between them are dropped', () => {
  const lines = ['RUN echo a\\', 'b \\', '  # of the second, \\', '# not the last', '', '  && echo c \\  ', ' d'];
  assert.deepEqual(runs(...lines, 'RUN echo e'), ['echo ab   && echo c  d', 'echo e']);
});

test('Windows line ends are read, and with another escape character backslashes are kept', () => {
  assert.deepEqual(runs('RUN a \\\r', '  && b\r', 'RUN c\r'), ['a   && b', 'c']);
  const [stage] = parseStages('# escape=`\nFROM x\nRUN copy C:\\a `\n  C:\\b\n');
  assert.deepEqual(
    stage!.steps.map(({ text }) => text),
    ['copy C:\\a   C:\\b'],
  );
});

test('flags belong to the step, and AS names to the stages', () => {
  const stages = parseStages(
    'FROM --platform=linux/amd64 node:20 AS build\nCOPY --from=x --chown=1:1 a b ./\nFROM build\nrun true\n',
  );
  assert.deepEqual(
    stages.map(({ name, image }) => [name, image]),
    [
      ['build', 'node:20'],
      ['build', 'build'],
    ],
  );
  assert.deepEqual(stages[0]!.steps[0]!.words, ['--from=x', '--chown=1:1', 'a', 'b', './']);
  assert.deepEqual(stages[1]!.steps, [{ keyword: 'RUN', text: 'true', words: ['true'] }]);
});

test('a here-document is rejected', () => {
  assert.throws(() => runs('RUN true', 'RUN <<EOF', 'echo a', 'EOF'), /line 3 holds a here-document/);
});
