import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it, mock } from 'node:test';
import { createProgress } from './progress.js';
import type { StepRecord } from './runLog.js';

const record = (step: number): StepRecord => ({
  step,
  epoch: 0,
  lr: 0.1,
  images_per_s: 12.34,
  wait_share: 0,
  l: 25.12345,
  stdr: 0.05,
});

function plain(): { stream: NodeJS.WriteStream; lines: () => string[] } {
  const stream = new PassThrough();
  return {
    stream: stream as unknown as NodeJS.WriteStream,
    lines: () => ((stream.read() as Buffer | null)?.toString() ?? '').split('\n').slice(0, -1),
  };
}

describe('progress without a terminal', () => {
  it('writes a plain line at the first step, then every 20 seconds, and at the end, with the time left', () => {
    let now = 0;
    const clock = mock.method(performance, 'now', () => now);
    try {
      const { stream, lines } = plain();
      const progress = createProgress(100, 200, stream);
      for (let step = 101; step <= 200; step++) {
        now += 1000;
        progress.step(record(step));
      }
      progress.stop();
      assert.deepEqual(lines(), [
        'step 101/200 | 1 min 39 s left | loss 25.123 stdr 0.050 12.3 images/s',
        'step 121/200 | 1 min 19 s left | loss 25.123 stdr 0.050 12.3 images/s',
        'step 141/200 | 59 s left | loss 25.123 stdr 0.050 12.3 images/s',
        'step 161/200 | 39 s left | loss 25.123 stdr 0.050 12.3 images/s',
        'step 181/200 | 19 s left | loss 25.123 stdr 0.050 12.3 images/s',
        'step 200/200 | 0 s left | loss 25.123 stdr 0.050 12.3 images/s',
      ]);
    } finally {
      clock.mock.restore();
    }
  });

  it('writes notes immediately, without control characters of the bar or of names', () => {
    const { stream, lines } = plain();
    createProgress(0, 10, stream).note('skipped a\u001b[2J.jpg: broken (1 so far)');
    assert.deepEqual(lines(), ['skipped a\\u001b[2J.jpg: broken (1 so far)']);
  });
});

describe('progress on a terminal', () => {
  it('draws a bar, and notes on lines of their own', () => {
    const stream = Object.assign(new PassThrough(), {
      isTTY: true,
      columns: 100,
      cursorTo: () => true,
      clearLine: () => true,
    });
    const progress = createProgress(0, 4, stream as unknown as NodeJS.WriteStream);
    progress.step(record(2));
    progress.note('skipped a.jpg');
    progress.note('skipped b\u001b[2J.jpg');
    progress.stop();
    const text = (stream.read() as Buffer).toString();
    assert.match(text, /step 2\/4 \| ETA .* \| loss 25\.123 stdr 0\.050 12\.3 images\/s/);
    assert.ok(text.includes('\u001b[Kskipped a.jpg\n'));
    assert.ok(text.includes('\u001b[Kskipped b\\u001b[2J.jpg\n'));
  });

  it('estimates the time left of runs of any length', () => {
    let now = 0;
    const clock = mock.method(performance, 'now', () => now);
    try {
      const stream = Object.assign(new PassThrough(), {
        isTTY: true,
        columns: 100,
        cursorTo: () => true,
        clearLine: () => true,
      });
      const progress = createProgress(0, 4e8, stream as unknown as NodeJS.WriteStream);
      now += 1000;
      progress.step(record(1));
      progress.stop();
      assert.match((stream.read() as Buffer).toString(), /step 1\/400000000 \| ETA 4629 d 15 h \| loss/);
    } finally {
      clock.mock.restore();
    }
  });
});
