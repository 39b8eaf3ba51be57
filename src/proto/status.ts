import type { status as GrpcStatus } from '@grpc/grpc-js';

/**
 * gRPC's status codes (https://grpc.io/docs/guides/status-codes/) for code without a transport, which does not load grpc-js. The
 * compiler checks names and numbers against those of grpc-js.
 */
export const status = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const satisfies {
  readonly [Name in keyof typeof GrpcStatus]: `${(typeof GrpcStatus)[Name]}` extends `${infer Code extends number}`
    ? Code
    : never;
};

export type StatusCode = GrpcStatus;

const names = new Map<StatusCode, string>(Object.entries(status).map(([name, code]) => [code, name]));

/** The name of a status code, such as INVALID_ARGUMENT. */
export function statusName(code: StatusCode): string {
  return names.get(code) ?? 'UNKNOWN';
}
