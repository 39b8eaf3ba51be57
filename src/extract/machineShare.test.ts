import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ExtractError } from './extractError.js';
import { machineShare } from './machineShare.js';

const share = (env: Record<string, string>, flag?: string) => {
  const { index, count } = machineShare(flag, env);
  return `${index}/${count}`;
};
const refused = (env: Record<string, string>, message: RegExp, flag?: string) =>
  assert.throws(
    () => machineShare(flag, env),
    (error: unknown) => error instanceof ExtractError && error.code === 'bad_option' && message.test(error.message),
  );

const kubernetes = { JOB_COMPLETION_INDEX: '2', JOB_COMPLETIONS: '5' };
const torchrun = { RANK: '1', WORLD_SIZE: '3' };
const slurm = (id: number, min: number, max: number, count: number, step?: number) => ({
  SLURM_ARRAY_TASK_ID: String(id),
  SLURM_ARRAY_TASK_MIN: String(min),
  SLURM_ARRAY_TASK_MAX: String(max),
  SLURM_ARRAY_TASK_COUNT: String(count),
  ...(step !== undefined && { SLURM_ARRAY_TASK_STEP: String(step) }),
});

describe('the share of a process', () => {
  it('is that of --shard, then Kubernetes, then Slurm, then RANK, and everything otherwise', () => {
    const all = { ...kubernetes, ...slurm(3, 0, 7, 8), ...torchrun };
    assert.equal(share(all, '0/9'), '0/9');
    assert.equal(share(all), '2/5');
    assert.equal(share({ ...slurm(3, 0, 7, 8), ...torchrun }), '3/8');
    assert.equal(share(torchrun), '1/3');
    assert.equal(share({}), '0/1');
    assert.match(machineShare(undefined, kubernetes).origin, /JOB_COMPLETION_INDEX=2, JOB_COMPLETIONS=5/);
  });

  it('of a Slurm array follows from its first number and its step', () => {
    assert.deepEqual(
      [1, 2, 3, 4].map((id) => share(slurm(id, 1, 4, 4))),
      ['0/4', '1/4', '2/4', '3/4'],
    );
    assert.deepEqual(
      [5, 8, 11].map((id) => share(slurm(id, 5, 11, 3, 3))),
      ['0/3', '1/3', '2/3'],
    );
    // --array=0-10:3, with the last number as given.
    assert.equal(share(slurm(9, 0, 10, 4, 3)), '3/4');
    assert.equal(share({ SLURM_ARRAY_TASK_ID: '2', SLURM_ARRAY_TASK_COUNT: '4' }), '2/4');
  });

  it('is refused where it is unknown or out of range, with the variable', () => {
    refused(slurm(5, 1, 6, 3), /evenly spaced/); // --array=1,5,6
    refused(slurm(6, 1, 6, 3), /evenly spaced/);
    refused({ SLURM_ARRAY_TASK_ID: '2' }, /SLURM_ARRAY_TASK_COUNT is not/);
    refused({ JOB_COMPLETION_INDEX: '1' }, /JOB_COMPLETIONS is not/);
    refused({ JOB_COMPLETION_INDEX: '5', JOB_COMPLETIONS: '5' }, /part 5 of 5/);
    refused({ RANK: 'x', WORLD_SIZE: '2' }, /RANK: "x"/);
    for (const flag of ['4/4', '1', '-1/4', '1/0', 'a/b', '1/2/3', '']) refused({}, /--shard/, flag);
  });

  it('does not follow a RANK without WORLD_SIZE, which other programs set', () => {
    assert.equal(share({ RANK: '7' }), '0/1');
  });
});
