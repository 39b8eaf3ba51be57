import { readdir, readFile } from 'node:fs/promises';

/** Ticks a second of the times in /proc; Linux has the same on every platform that Node runs on. */
const TICKS = 100;

interface Stat {
  readonly name: string;
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
    name: text.slice(text.indexOf('(') + 1, end),
    parent: Number(fields[1]),
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS,
  };
}

const numbersIn = async (dir: string): Promise<number[]> =>
  (await readdir(dir).catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number);

/** A process and its children, theirs included. */
export async function treePids(pid: number): Promise<number[]> {
  const stats = await Promise.all(
    (await numbersIn('/proc')).map(async (id) => ({ id, parent: (await readStat(`/proc/${id}/stat`))?.parent })),
  );
  const found = [pid];
  for (const parent of found) for (const { id, parent: its } of stats) if (its === parent) found.push(id);
  return found;
}

/** Processor seconds that a process and its children have used so far; undefined where there is no /proc (Linux has). */
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

/** Processor seconds of every thread of a process and its children so far; empty where there is no /proc. */
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

/** Title of the processes that decode (src/decode/decodeWorker.ts). */
const DECODE_PROCESS = 'vicregl-decode';

/** Processor seconds of a service by what it is spent on: answering, decoding and the like, the network. */
export interface ServiceCpu {
  readonly main: number;
  /** Of the service's process, and of the processes that decode. */
  readonly otherThreads: number;
  readonly workers: number;
}

/** What a service, its workers included, spent between two looks at its threads. */
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
