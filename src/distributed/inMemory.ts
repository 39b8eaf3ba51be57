import { bytesOf, type Collectives, type Elements } from './collectives.js';

/** An operation in which not all ranks have arrived yet. */
interface Meeting {
  readonly kind: string;
  readonly values: (Elements | undefined)[];
  readonly arrived: (() => void)[];
  readonly failed: ((error: Error) => void)[];
}

/** The ranks called different operations, or with different sizes. With MPI, this would hang or mix up data. */
export class CollectiveMismatchError extends Error {
  override readonly name = 'CollectiveMismatchError';
}

/** What an operation does when all have arrived. */
const operations: Readonly<Record<'allGather' | 'allReduceSum' | 'broadcast', (values: readonly Elements[]) => void>> =
  {
    allGather(all) {
      const parts = all.map((values, rank) => {
        const bytes = bytesOf(values);
        const length = bytes.length / all.length;
        return bytes.slice(rank * length, (rank + 1) * length);
      });
      for (const values of all) {
        for (const [rank, part] of parts.entries()) bytesOf(values).set(part, rank * part.length);
      }
    },
    allReduceSum(all) {
      const [first, ...others] = all as Float32Array[];
      // In rank order, so that the sums do not depend on who comes last.
      for (const values of others) for (let i = 0; i < values.length; i++) first![i]! += values[i]!;
      for (const values of others) values.set(first!);
    },
    broadcast([first, ...others]) {
      for (const values of others) bytesOf(values).set(bytesOf(first!));
    },
  };

/** A group whose ranks are tasks of this process, for tests. */
export function createInMemoryGroup(size: number): Collectives[] {
  const meetings = new Map<number, Meeting>();
  let aborted: Error | undefined;
  return Array.from({ length: size }, (_, rank): Collectives => {
    let calls = 0;
    const meet = (kind: 'barrier' | keyof typeof operations, values?: Elements): Promise<void> =>
      new Promise((resolve, reject) => {
        if (aborted) {
          reject(aborted);
          return;
        }
        const call = calls++;
        const called = `${kind}${values ? `(${values.length} elements)` : ''}`;
        const meeting = meetings.get(call) ?? { kind: called, values: [], arrived: [], failed: [] };
        meetings.set(call, meeting);
        meeting.values[rank] = values;
        meeting.arrived.push(resolve);
        meeting.failed.push(reject);
        if (meeting.kind !== called) {
          const error = new CollectiveMismatchError(
            `operation ${call}: rank ${rank} calls ${called}, another ${meeting.kind}`,
          );
          for (const fail of meeting.failed) fail(error);
        } else if (meeting.arrived.length === size) {
          meetings.delete(call);
          if (kind !== 'barrier') operations[kind](meeting.values as Elements[]);
          for (const arrive of meeting.arrived) arrive();
        }
      });
    return {
      rank,
      size,
      local: { rank, size },
      allGather: (all) => meet('allGather', all),
      allReduceSum: (values) => meet('allReduceSum', values),
      broadcast: (values) => meet('broadcast', values),
      barrier: () => meet('barrier'),
      abort(code) {
        aborted = new Error(`rank ${rank} aborted with code ${code}`);
        for (const { failed } of meetings.values()) for (const fail of failed) fail(aborted);
      },
      close: async () => undefined,
    };
  });
}
