/** One sample of Prometheus' text format. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

function number(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  return text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
}

/** Reads the text format: a line for each sample, and comments. */
export function parseMetrics(text: string): Sample[] {
  return text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) return [];
    const pairs = [...labels.matchAll(LABEL)].map(([, label, quoted]) => [
      label!,
      quoted!.replace(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter)),
    ]);
    return [{ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: number(value) }];
  });
}

/** The sum of all samples of a name, by a label. */
export function sumBy(samples: readonly Sample[], name: string, label: string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const sample of samples) {
    if (sample.name !== name) continue;
    const key = sample.labels[label] ?? '';
    sums.set(key, (sums.get(key) ?? 0) + sample.value);
  }
  return sums;
}

/** The sum of all samples of a name. */
export function total(samples: readonly Sample[], name: string): number {
  return samples.reduce((sum, sample) => (sample.name === name ? sum + sample.value : sum), 0);
}

/**
 * Whether the counters of a reading do not go on from those of an earlier one, as after a restart of the service.
 * @param counters names of samples that only grow
 */
export function beganAnew(before: readonly Sample[], now: readonly Sample[], counters: readonly string[]): boolean {
  const start = 'process_start_time_seconds';
  return total(now, start) !== total(before, start) || counters.some((name) => total(now, name) < total(before, name));
}

/** Counts below each bound, ascending, of the samples of a histogram with a label. */
export function bucketsOf(samples: readonly Sample[], name: string, label: string, value: string): Map<number, number> {
  const counts = new Map<number, number>();
  for (const sample of samples) {
    if (sample.name !== `${name}_bucket` || sample.labels[label] !== value) continue;
    const bound = number(sample.labels['le'] ?? '');
    counts.set(bound, (counts.get(bound) ?? 0) + sample.value);
  }
  return new Map([...counts].sort(([one], [other]) => one - other));
}

/** A quantile of what was counted between two readings, interpolated in its bucket as Prometheus does; undefined if nothing was. */
export function quantile(share: number, now: Map<number, number>, before: Map<number, number>): number | undefined {
  const counts = [...now].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)] as const);
  const all = counts.at(-1)?.[1] ?? 0;
  if (all <= 0) return undefined;
  const rank = share * all;
  let [low, under] = [0, 0];
  for (const [bound, count] of counts) {
    if (count >= rank) {
      if (!Number.isFinite(bound)) return low;
      return low + ((bound - low) * (rank - under)) / Math.max(1, count - under);
    }
    [low, under] = [bound, count];
  }
  return low;
}
