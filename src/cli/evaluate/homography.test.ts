import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parsePhotographSize, parseViews } from './homography.js';

describe('flags of vicregl evaluate homography', () => {
  it('give views as numbers of perspectives and as rotations with scales', () => {
    assert.deepEqual(parseViews('2,15x0.8,-30x1'), [
      { kind: 'perspective' },
      { kind: 'perspective' },
      { kind: 'rotation', degrees: 15, scale: 0.8 },
      { kind: 'rotation', degrees: -30, scale: 1 },
    ]);
    for (const text of ['', '0', '101', '1e9', '15x', '15x0', '15x11', 'x1', '15x1,', '1,a']) {
      assert.throws(() => parseViews(text), { code: 'commander.invalidArgument' }, text);
    }
  });

  it('give the size of whole photographs', () => {
    assert.deepEqual(parsePhotographSize('native'), { kind: 'native' });
    assert.deepEqual(parsePhotographSize('shortest:480'), { kind: 'shortest', side: 480 });
    assert.deepEqual(parsePhotographSize('fit:640x480'), { kind: 'fit', width: 640, height: 480 });
    for (const text of ['shortest:256,224', 'shortest:0', 'shortest', '480', 'fit:640']) {
      assert.throws(() => parsePhotographSize(text), { code: 'commander.invalidArgument' }, text);
    }
  });
});
