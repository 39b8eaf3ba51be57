import { ServeError } from '../../call/serveError.js';
import type { ServeContext } from '../context.js';
import type { WireDType } from '../wire/wireTensor.js';
import type { PlannedMap } from './plan.js';

/** What an answer comes to, in words. */
function described(maps: readonly PlannedMap[], dtype: WireDType): string {
  return maps
    .map(({ stage, usedGrid, vectors, dimensions }) => {
      const whole = vectors === usedGrid.rows * usedGrid.columns;
      const count = whole ? `${usedGrid.rows} x ${usedGrid.columns} cells` : `${vectors} vectors`;
      return `${maps.length > 1 ? `stage ${stage}: ` : ''}${count} with ${dimensions} channels in ${dtype}`;
    })
    .join(', ');
}

/**
 * Refuses an answer that is too large for the caller, before any work is done for it.
 * @param limit in bytes
 * @param ways to a smaller answer, beside a smaller type and size
 */
export function refuseOver(
  limit: number,
  bytes: number,
  maps: readonly PlannedMap[],
  dtype: WireDType,
  ways: readonly string[],
): void {
  if (bytes <= limit) return;
  const smaller = dtype === 'float32' ? ['dtype float16 or int8'] : dtype === 'float16' ? ['dtype int8'] : [];
  throw new ServeError(
    'too_large',
    `features of ${described(maps, dtype)} are ${bytes} bytes, over the limit of ${limit} bytes; ask for ` +
      [...smaller, 'a smaller size (resize)', ...ways].join(', or '),
  );
}

/** The ways out of a unary answer's limit. */
export function unaryWays({ limits }: ServeContext, limit: number): readonly string[] {
  return [
    ...(limit < limits.maxResponseBytes
      ? [`max_response_bytes up to ${limits.maxResponseBytes} with as large a receive limit in the client`]
      : []),
    'a region',
    'ExtractFeaturesChunked',
  ];
}
