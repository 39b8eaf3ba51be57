import { readFile } from 'node:fs/promises';
import { availableParallelism, hostname } from 'node:os';
import type { Collectives } from './collectives.js';
import { gatherTexts } from './gatherTexts.js';

/** The threads of each rank: ranks of one machine share the processors that their launcher has not divided among them already. */

/** What a process may compute on. */
export interface Processors {
  /** Numbers of the processors to which the process is bound; undefined where the system does not tell. */
  readonly bound: readonly number[] | undefined;
  /** How many it may use: fewer than it is bound to under a quota of a container. */
  readonly available: number;
}

/** The numbers of a list such as `0-3,8`. */
const numbersOf = (list: string): number[] =>
  list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
  });

/** The processors of this process. @param status Linux's description of the process (proc(5)) */
export async function ownProcessors(status = '/proc/self/status'): Promise<Processors> {
  const text = await readFile(status, 'utf8').catch(() => '');
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(text)?.[1];
  return { bound: list === undefined ? undefined : numbersOf(list), available: availableParallelism() };
}

/**
 * Threads of this rank's steps, at least 1. Each processor is divided among the ranks that are bound to it: ranks that the launcher has bound
 * to processors of their own have all of these. All ranks call it together.
 */
export async function threadsOfRank(collectives: Collectives, own: Processors, machine = hostname()): Promise<number> {
  const texts = await gatherTexts(collectives, JSON.stringify({ machine, bound: own.bound }));
  const all = texts.map((text) => JSON.parse(text) as Pick<Processors, 'bound'> & { readonly machine: string });
  const { bound, available } = own;
  if (bound === undefined) return Math.max(1, Math.floor(available / collectives.local.size));
  const neighbours = all.filter((each) => each.machine === machine);
  const sharers = new Map<number, number>();
  for (const { bound: theirs = [] } of neighbours) {
    for (const processor of theirs) sharers.set(processor, (sharers.get(processor) ?? 0) + 1);
  }
  const share = bound.reduce((sum, processor) => sum + 1 / sharers.get(processor)!, 0);
  const quota = Math.min(1, available / bound.length);
  // Three thirds of a processor are one.
  return Math.max(1, Math.floor(share * quota + 1e-6));
}
