import assert from 'node:assert/strict';
import { it, mock } from 'node:test';
import { jsonProgress } from './jsonLines.js';

it('progress as JSON lines has a line every five seconds and one at the end of a part', () => {
  let now = 1000;
  const clock = mock.method(performance, 'now', () => now);
  const lines: Record<string, unknown>[] = [];
  const progress = jsonProgress({
    write: (text: unknown) => {
      lines.push(JSON.parse(String(text)) as Record<string, unknown>);
      return true;
    },
  });
  try {
    progress.note('begins');
    progress.begin('extracting', 1000, 'images');
    for (let image = 0; image < 1000; image++) {
      now += 8;
      progress.advance();
    }
  } finally {
    clock.mock.restore();
  }
  const part = { event: 'progress', part: 'extracting', total: 1000, unit: 'images', perSecond: 125 };
  assert.deepEqual(lines, [
    { event: 'note', text: 'begins' },
    { ...part, done: 625, secondsLeft: 3 },
    { ...part, done: 1000, secondsLeft: 0 },
  ]);
});
