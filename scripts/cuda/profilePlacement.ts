/** The runs of one operator type on one execution provider. */
export interface Placement {
  readonly operator: string;
  readonly provider: string;
  readonly count: number;
  readonly microseconds: number;
}

interface ProfileEvent {
  readonly cat?: string;
  readonly name: string;
  readonly dur: number;
  readonly args?: { readonly op_name?: string; readonly provider?: string };
}

/** Copies between host and device that ONNX Runtime inserts. The graph does not have them. */
const COPIES = new Set(['MemcpyToHost', 'MemcpyFromHost']);

/**
 * Sums an ONNX Runtime profile (its JSON text) by operator type and provider, longest time first.
 * @throws Error if the profile has no time of an operator, which means that nothing was profiled.
 */
export function placements(profile: string): Placement[] {
  const sums = new Map<string, { operator: string; provider: string; count: number; microseconds: number }>();
  for (const { cat, name, dur, args } of JSON.parse(profile) as ProfileEvent[]) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time')) continue;
    const { op_name: operator = 'unknown', provider = 'unknown' } = args ?? {};
    if (COPIES.has(operator)) continue;
    const key = `${operator} ${provider}`;
    const sum = sums.get(key) ?? { operator, provider, count: 0, microseconds: 0 };
    sum.count += 1;
    sum.microseconds += dur;
    sums.set(key, sum);
  }
  if (sums.size === 0) throw new Error('the profile holds no time of an operator');
  return [...sums.values()].sort((a, b) => b.microseconds - a.microseconds);
}
