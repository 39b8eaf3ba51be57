import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { spaceOption } from './spaceOption.js';

const spaceOf = (...words: string[]): unknown =>
  new Command()
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .addOption(spaceOption())
    .parse(words, { from: 'user' })
    .opts()['space'];

test('the local projector is compared unless --space says otherwise, and has the name that the service gives it', () => {
  assert.equal(spaceOf(), 'projector');
  assert.equal(spaceOf('--space', 'localProjector'), 'projector');
  assert.equal(spaceOf('--space=projector'), 'projector');
  assert.equal(spaceOf('--space', 'backbone'), 'backbone');
  assert.throws(() => spaceOf('--space', 'expander'), /Allowed choices are localProjector, backbone, projector/);
});
