import { readdir, readFile } from 'node:fs/promises';

/** Ticks a second of the times in /proc; Linux has the same on every platform that Node runs on. */
const TICKS = 100;

interface Stat {
  readonly parent: number;
  readonly cpuSeconds: number;
}

/** Fields of a `stat` file of /proc; the name may hold anything, brackets too (proc(5)). */
async function readStat(path: string): Promise<Stat | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  return {
    parent: Number(fields[1]),
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS,
  };
}

const numbersIn = async (dir: string): Promise<number[]> =>
  (await readdir(dir).catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number);

async function descendants(pid: number): Promise<number[]> {
  const stats = await Promise.all(
    (await numbersIn('/proc')).map(async (id) => ({ id, parent: (await readStat(`/proc/${id}/stat`))?.parent })),
  );
  const found = [pid];
  for (const parent of found) for (const { id, parent: its } of stats) if (its === parent) found.push(id);
  return found;
}

/** Processor seconds that a process and its children have used so far; undefined where there is no /proc (Linux has). */
export async function treeCpuSeconds(pid: number): Promise<number | undefined> {
  const stats = await Promise.all((await descendants(pid)).map((id) => readStat(`/proc/${id}/stat`)));
  const known = stats.filter((stat) => stat !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
}
