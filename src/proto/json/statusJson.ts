import { durationOf, errorDomain, limitMetadata, type StatusDetails, URL_PREFIX } from '../statusDetails.js';

/** An error as google.rpc.Status in proto3 JSON: the ErrorInfo, and the RetryInfo if a retry makes sense. */
export function statusJson({
  code,
  details,
  reason,
  limit,
  retryAfterSeconds,
}: StatusDetails): Record<string, unknown> {
  const any = (name: string, message: object) => ({ '@type': `${URL_PREFIX}google.rpc.${name}`, ...message });
  return {
    code,
    message: details,
    details: [
      ...(reason === '' ? [] : [any('ErrorInfo', { reason, domain: errorDomain, metadata: limitMetadata(limit) })]),
      ...(retryAfterSeconds === undefined ? [] : [any('RetryInfo', { retryDelay: durationText(retryAfterSeconds) })]),
    ],
  };
}

/** A google.protobuf.Duration in JSON, such as "1.500s". */
function durationText(seconds: number): string {
  const { seconds: whole, nanos } = durationOf(seconds);
  return nanos === 0 ? `${whole}s` : `${whole}.${String(nanos / 1_000_000).padStart(3, '0')}s`;
}
