import type { LogRecord } from './runLog.js';

/** A point of a curve: means over its steps. */
export interface CurvePoint {
  /** The last of its steps. */
  readonly step: number;
  readonly means: Readonly<Record<string, number>>;
}

/** Curves of everything that a run logs, in a bounded number of points. */
export interface CurvePoints {
  /** Takes records in the order of their steps. */
  add(record: LogRecord): void;
  points(): CurvePoint[];
}

interface Group {
  step: number;
  records: number;
  readonly sums: Map<string, { sum: number; count: number }>;
}

/** Points of a line: more cannot be distinguished in a picture. */
const MAX_POINTS = 512;

function absorb(into: Group, { step, records, sums }: Group): void {
  into.step = step;
  into.records += records;
  for (const [name, { sum, count }] of sums) {
    const before = into.sums.get(name) ?? { sum: 0, count: 0 };
    into.sums.set(name, { sum: before.sum + sum, count: before.count + count });
  }
}

/**
 * Gathers curves in constant memory: where there are too many points, neighbours are merged, so that each covers
 * twice as many steps.
 */
export function createCurvePoints(maxPoints: number = MAX_POINTS): CurvePoints {
  let groups: Group[] = [];
  let size = 1;
  return {
    add(record) {
      const sums = new Map<string, { sum: number; count: number }>();
      for (const [name, value] of Object.entries(record)) {
        if (name !== 'step' && typeof value === 'number') sums.set(name, { sum: value, count: 1 });
      }
      const last = groups.at(-1);
      // A probe's record belongs to the point of its step.
      const beside = last?.step === record.step;
      const group: Group = { step: record.step, records: beside ? 0 : 1, sums };
      if (last !== undefined && (beside || last.records < size)) absorb(last, group);
      else groups.push(group);
      if (groups.length > maxPoints) {
        size *= 2;
        groups = groups.reduce<Group[]>((merged, next, i) => {
          if (i % 2 === 0) merged.push(next);
          else absorb(merged.at(-1)!, next);
          return merged;
        }, []);
      }
    },
    points: () =>
      groups.map(({ step, sums }) => ({
        step,
        means: Object.fromEntries([...sums].map(([name, { sum, count }]) => [name, sum / count])),
      })),
  };
}
