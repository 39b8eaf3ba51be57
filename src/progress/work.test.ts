import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it, mock } from 'node:test';
import { counted, type ShownProgress, showProgress, type WorkProgress } from './work.js';

/** Returns the output of `work`, with a mocked clock. */
function shown(terminal: boolean, work: (progress: ShownProgress, wait: (ms: number) => void) => void): string {
  let now = 1000;
  const clock = mock.method(performance, 'now', () => now);
  const stream = Object.assign(
    new PassThrough(),
    terminal && { isTTY: true, columns: 100, cursorTo: () => true, clearLine: () => true },
  );
  const progress = showProgress(stream as unknown as NodeJS.WriteStream);
  try {
    work(progress, (ms) => {
      now += ms;
    });
  } finally {
    progress.stop();
    clock.mock.restore();
  }
  return ((stream.read() as Buffer | null) ?? '').toString();
}

describe('progress of work without a terminal', () => {
  it('is written as a line every five seconds with rate and remaining time', () => {
    const text = shown(false, (progress, wait) => {
      progress.begin('embedding', 2000, 'images');
      for (let image = 0; image < 1200; image++) {
        wait(10);
        progress.advance();
      }
    });
    assert.deepEqual(text.split('\n'), [
      'embedding: 500/2,000 images | 15 s left | 100 images/s',
      'embedding: 1,000/2,000 images | 10 s left | 100 images/s',
      '',
    ]);
  });

  it('has no lines for shorter parts, and each part starts its own count and clock', () => {
    const text = shown(false, (progress, wait) => {
      progress.begin('first', 2, 'images');
      wait(4900);
      progress.advance(2);
      progress.begin('second', 4, 'images');
      wait(4900);
      progress.advance();
      wait(3100);
      progress.advance();
    });
    assert.equal(text, 'second: 2/4 images | 8 s left | 0.25 images/s\n');
  });

  it('writes notes unchanged, also before the first part', () => {
    const text = shown(false, (progress) => {
      progress.note('warning: one');
      progress.begin('embedding', 2, 'images');
      progress.note('warning: two');
    });
    assert.equal(text, 'warning: one\nwarning: two\n');
  });
});

describe('progress of work on a terminal', () => {
  it('is a bar with rate and ETA for each part, and is stopped once', () => {
    const text = shown(true, (progress, wait) => {
      progress.begin('decoding', 4, 'images');
      wait(500);
      progress.advance(2);
      progress.begin('comparing', 2, 'runs');
      progress.note('warning');
      wait(1000);
      progress.advance(2);
      progress.stop();
      progress.advance(2);
    });
    assert.match(text, /decoding: 2\/4 images \| ETA .* \| 4\.0 images\/s/);
    assert.match(text, /comparing: 2\/2 runs \| ETA .* \| 2\.0 runs\/s\n?/);
    assert.ok(text.includes('\u001b[Kwarning\n'));
    assert.doesNotMatch(text, /4\/2/);
  });
});

it('counted items are reported, in units, after the consumer has used them', async () => {
  const reported: number[] = [];
  const progress: WorkProgress = { begin: () => undefined, advance: (units = 1) => reported.push(units) };
  const used: string[] = [];
  for await (const item of counted(['a', 'bcd'], progress, ({ length }) => length)) {
    assert.equal(reported.length, used.length);
    used.push(item);
  }
  assert.deepEqual(used, ['a', 'bcd']);
  assert.deepEqual(reported, [1, 3]);
});
