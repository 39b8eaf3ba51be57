import type { MeasuredCell } from './requireSame.js';

/** Figures of different protocols are not comparable: they do not stand in one table. */

/** Results of one protocol. */
export interface ProtocolGroup<Measured> {
  /** At least one. */
  readonly measured: readonly Measured[];
  readonly floor: readonly Measured[];
}

/**
 * Results of an evaluation by protocol, in the order of the variants.
 * @returns also the floors whose protocol no variant has, by name.
 */
export function byProtocol<Measured extends MeasuredCell<{ readonly variant: string }>>(
  measured: readonly Measured[],
  floor: readonly Measured[],
): { readonly groups: readonly ProtocolGroup<Measured>[]; readonly leftOut: readonly string[] } {
  const protocols = [...new Set(measured.map(({ result }) => result.protocol))];
  const lonely = floor.filter(({ result }) => !protocols.includes(result.protocol));
  return {
    groups: protocols.map((protocol) => ({
      measured: measured.filter(({ result }) => result.protocol === protocol),
      floor: floor.filter(({ result }) => result.protocol === protocol),
    })),
    leftOut: [...new Set(lonely.map(({ cell }) => `(${cell.variant})`))],
  };
}
