import { ExtractError } from './extractError.js';

/** The part of the work that this process does: part `index` (from 0) of `count`. */
export interface MachineShare {
  readonly index: number;
  readonly count: number;
  /** Where it comes from, for people: `--shard`, or the names of the variables. */
  readonly origin: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** A whole number in a variable. @throws ExtractError `bad_option` for another value */
function numberIn(env: Environment, name: string): number {
  const text = env[name]!;
  if (/^\d{1,9}$/.test(text.trim())) return Number(text);
  throw new ExtractError(
    'bad_option',
    `${name}: "${text}" is not a whole number; correct the variable, or give --shard INDEX/COUNT`,
  );
}

function checked(index: number, count: number, origin: string): MachineShare {
  if (Number.isInteger(index) && index >= 0 && index < count) return { index, count, origin };
  throw new ExtractError(
    'bad_option',
    `${origin}: part ${index} of ${count} does not exist; parts are numbered from 0 to COUNT - 1`,
  );
}

/** Reads `--shard INDEX/COUNT`, counted from 0. @throws ExtractError `bad_option` */
function parseShare(text: string): MachineShare {
  const parts = /^(\d{1,9})\/(\d{1,9})$/.exec(text);
  if (!parts) {
    throw new ExtractError(
      'bad_option',
      `--shard: "${text}" is not INDEX/COUNT, such as 0/4 for the first of four parts`,
    );
  }
  return checked(Number(parts[1]), Number(parts[2]), `--shard ${text}`);
}

/**
 * Slurm's array tasks have any numbers: `--array=1-4`, `--array=0-9:3`. The position in the array follows from the first number
 * and the step, which Slurm sets for regular arrays. A list such as `--array=1,5,6` has no position that a task could know.
 */
function slurmShare(env: Environment): MachineShare {
  const id = numberIn(env, 'SLURM_ARRAY_TASK_ID');
  const count = numberIn(env, 'SLURM_ARRAY_TASK_COUNT');
  const origin = `SLURM_ARRAY_TASK_ID=${id}, SLURM_ARRAY_TASK_COUNT=${count}`;
  const first = env['SLURM_ARRAY_TASK_MIN'] === undefined ? 0 : numberIn(env, 'SLURM_ARRAY_TASK_MIN');
  const last = env['SLURM_ARRAY_TASK_MAX'] === undefined ? undefined : numberIn(env, 'SLURM_ARRAY_TASK_MAX');
  const given = env['SLURM_ARRAY_TASK_STEP'] === undefined ? undefined : numberIn(env, 'SLURM_ARRAY_TASK_STEP');
  const step = given === undefined || given === 0 ? 1 : given;
  // Slurm reports the last number as given, which a step may skip: 0-10:3 has the tasks 0, 3, 6 and 9.
  const regular = last === undefined || (last < first + count * step && last >= first + (count - 1) * step);
  const index = (id - first) / step;
  if (!regular || !Number.isInteger(index) || index < 0 || index >= count) {
    throw new ExtractError(
      'bad_option',
      `${origin}: the tasks ${first} to ${last ?? '?'} with step ${step} are not ${count} evenly spaced numbers, so the part of ` +
        'this task is unknown; use --array=0-N, or give --shard INDEX/COUNT',
    );
  }
  return checked(index, count, origin);
}

const pairs = [
  ['JOB_COMPLETION_INDEX', 'JOB_COMPLETIONS'],
  ['SLURM_ARRAY_TASK_ID', 'SLURM_ARRAY_TASK_COUNT'],
  ['RANK', 'WORLD_SIZE'],
] as const;

/**
 * The share of this process: --shard, else that of a Kubernetes indexed Job (JOB_COMPLETION_INDEX, and JOB_COMPLETIONS, which the
 * Job's template has to set), else that of a Slurm array, else RANK of WORLD_SIZE, else everything.
 * @throws ExtractError `bad_option` for values that are no numbers, out of range, or incomplete
 */
export function machineShare(flag: string | undefined, env: Environment): MachineShare {
  if (flag !== undefined) return parseShare(flag);
  for (const [index, count] of pairs) {
    if (env[index] === undefined) continue;
    if (env[count] === undefined) {
      // torchrun sets both; other programs set RANK for their own purposes.
      if (index === 'RANK') continue;
      throw new ExtractError(
        'bad_option',
        `${index} is set and ${count} is not, so the number of parts is unknown; set ${count} in the job's template, or give ` +
          '--shard INDEX/COUNT',
      );
    }
    if (index === 'SLURM_ARRAY_TASK_ID') return slurmShare(env);
    const [at, of] = [numberIn(env, index), numberIn(env, count)];
    return checked(at, of, `${index}=${at}, ${count}=${of}`);
  }
  return { index: 0, count: 1, origin: 'one process' };
}
