import { readdir, readFile } from 'node:fs/promises';

/** Clock ticks per second of the times in /proc; equal on all Linux platforms that Node supports. */
const TICKS = 100;

interface Stat {
  readonly name: string;
  readonly parent: number;
  readonly cpuSeconds: number;
}

/** Reads a `stat` file of /proc. The name may contain any characters, also parentheses (proc(5)). */
async function readStat(path: string): Promise<Stat | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  return {
    name: text.slice(text.indexOf('(') + 1, end),
    parent: Number(fields[1]),
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS,
  };
}

const numbersIn = async (dir: string): Promise<number[]> =>
  (await readdir(dir).catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number);

/** Lists a process and all its descendants. */
export async function treePids(pid: number): Promise<number[]> {
  const stats = await Promise.all(
    (await numbersIn('/proc')).map(async (id) => ({ id, parent: (await readStat(`/proc/${id}/stat`))?.parent })),
  );
  const found = [pid];
  for (const parent of found) for (const { id, parent: its } of stats) if (its === parent) found.push(id);
  return found;
}

/** CPU seconds that a process and its descendants have used so far; undefined if there is no /proc (other systems than Linux). */
export async function treeCpuSeconds(pid: number): Promise<number | undefined> {
  const stats = await Promise.all((await treePids(pid)).map((id) => readStat(`/proc/${id}/stat`)));
  const known = stats.filter((stat) => stat !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
}

/** One thread of a process tree. */
export interface ThreadCpu {
  readonly pid: number;
  readonly thread: number;
  readonly name: string;
  readonly cpuSeconds: number;
}

/** CPU seconds that each thread of a process and its descendants has used so far; empty if there is no /proc. */
export async function threadCpu(pid: number): Promise<ThreadCpu[]> {
  const threads = (await treePids(pid)).map(async (id) =>
    Promise.all(
      (await numbersIn(`/proc/${id}/task`)).map(async (thread) => {
        const stat = await readStat(`/proc/${id}/task/${thread}/stat`);
        return stat && { pid: id, thread, name: stat.name, cpuSeconds: stat.cpuSeconds };
      }),
    ),
  );
  return (await Promise.all(threads)).flat().filter((thread) => thread !== undefined);
}

/** Title of the decode processes (src/decode/decodeWorker.ts). */
const DECODE_PROCESS = 'vicregl-decode';

/** CPU seconds of a service by use. */
export interface ServiceCpu {
  /** The main thread, which handles calls. */
  readonly main: number;
  /** Other threads of the service's process, and the decode processes. */
  readonly otherThreads: number;
  /** The inference workers. */
  readonly workers: number;
}

/** CPU seconds that a service and its workers used between two snapshots of its threads. */
export function serviceCpuBetween(pid: number, before: readonly ThreadCpu[], after: readonly ThreadCpu[]): ServiceCpu {
  const spent = { main: 0, otherThreads: 0, workers: 0 };
  for (const { pid: process, thread, cpuSeconds } of after) {
    const start = before.find((entry) => entry.pid === process && entry.thread === thread)?.cpuSeconds ?? 0;
    const decodes = after.some((entry) => entry.thread === process && entry.name === DECODE_PROCESS);
    const place = decodes ? 'otherThreads' : process !== pid ? 'workers' : thread === pid ? 'main' : 'otherThreads';
    spent[place] += cpuSeconds - start;
  }
  return spent;
}
