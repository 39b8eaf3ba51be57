import assert from 'node:assert/strict';
import { it } from 'node:test';
import { tinyResult, trained } from '../../../test/support/tinyResults.js';
import { byProtocol } from './byProtocol.js';

it('puts variants and floors together by protocol, and names floors whose protocol no variant has', () => {
  const of = (variant: string, protocol: string) => ({
    cell: { variant },
    folder: variant,
    result: tinyResult([trained()], { protocol }),
  });
  const measured = [of('a', 'x'), of('b', 'y'), of('c', 'x'), of('c', 'x')];
  const floor = [of('random', 'y'), of('untrained', 'z'), of('untrained', 'z')];
  const { groups, leftOut } = byProtocol(measured, floor);
  assert.deepEqual(
    groups.map((group) => [group.measured, group.floor].map((each) => each.map(({ cell }) => cell.variant))),
    [
      [['a', 'c', 'c'], []],
      [['b'], ['random']],
    ],
  );
  assert.deepEqual(leftOut, ['(untrained)']);
  assert.deepEqual(byProtocol([], floor).groups, []);
});
