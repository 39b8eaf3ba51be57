import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { createFailureLog, type FailureKind } from './failureLog.js';

const overloaded: FailureKind = { method: 'Embed', code: 'RESOURCE_EXHAUSTED', reason: 'OVERLOADED' };

describe('the log of failed calls', () => {
  let lines: { readonly line: Record<string, unknown>; readonly message: string }[];
  let debug: boolean;
  const logger = {
    info: (line: object, message: string) => void lines.push({ line: { ...line }, message }),
    isLevelEnabled: () => debug,
  } as unknown as Parameters<typeof createFailureLog>[0];
  beforeEach(() => {
    lines = [];
    debug = false;
    mock.timers.enable({ apis: ['setTimeout'] });
  });
  afterEach(() => mock.timers.reset());

  test('has a line for each of the first ten calls in a second, and counts the others', () => {
    const log = createFailureLog(logger);
    for (let call = 0; call < 25; call++) log.failed(overloaded, () => ({ requestId: `call-${call}` }), 'full');
    assert.equal(lines.length, 10);
    assert.deepEqual(lines[9], { line: { requestId: 'call-9', ...overloaded }, message: 'full' });
    mock.timers.tick(1000);
    assert.equal(lines.length, 11);
    assert.deepEqual(lines[10], {
      line: { ...overloaded, calls: 15 },
      message: '15 more calls failed like this within a second',
    });
  });

  test('starts again with every second', () => {
    const log = createFailureLog(logger);
    for (let second = 0; second < 3; second++) {
      for (let call = 0; call < 11; call++) log.failed(overloaded, () => ({}), 'full');
      mock.timers.tick(1000);
    }
    assert.equal(lines.length, 33);
    mock.timers.tick(5000);
    assert.equal(lines.length, 33, 'a second without failures has no line');
  });

  test('counts kinds separately, so that a flood of one hides no other', () => {
    const log = createFailureLog(logger);
    for (let call = 0; call < 100; call++) log.failed(overloaded, () => ({}), 'full');
    log.failed({ ...overloaded, method: 'Match' }, () => ({}), 'full');
    log.failed({ ...overloaded, code: 'INVALID_ARGUMENT', reason: 'IMAGE_CORRUPT' }, () => ({}), 'corrupt');
    assert.equal(lines.length, 12);
  });

  test('does not compute fields that it does not log', () => {
    const log = createFailureLog(logger);
    const line = mock.fn(() => ({}));
    for (let call = 0; call < 50; call++) log.failed(overloaded, line, 'full');
    assert.equal(line.mock.callCount(), 10);
  });

  test('has a line for every call at log level debug', () => {
    debug = true;
    const log = createFailureLog(logger);
    for (let call = 0; call < 50; call++) log.failed(overloaded, () => ({}), 'full');
    mock.timers.tick(1000);
    assert.equal(lines.length, 50);
  });

  test('writes the counted calls once when it is flushed', () => {
    const log = createFailureLog(logger);
    for (let call = 0; call < 12; call++) log.failed(overloaded, () => ({}), 'full');
    log.flush();
    assert.equal(lines.at(-1)!.line['calls'], 2);
    mock.timers.tick(2000);
    assert.equal(lines.length, 11);
  });
});
