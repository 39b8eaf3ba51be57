import { Client } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { deadlineIn } from './deadline.js';
import { channelSecurity, type SecurityOptions } from './security.js';
import { VicreglError } from './vicreglError.js';

export interface HealthOptions extends SecurityOptions {
  /** HOST:PORT of the service. */
  readonly address: string;
  /** Name of a gRPC service; empty means the whole server. Default: empty. */
  readonly service?: string;
  /** Deadline in ms. Default 5 s. */
  readonly deadlineMs?: number;
}

/** Status of grpc.health.v1. */
export type HealthStatus = 'UNKNOWN' | 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';

/**
 * Checks by grpc.health.v1 whether a server accepts requests.
 * @throws VicreglError `UNAVAILABLE` or `DEADLINE_EXCEEDED` if no server answers, `NOT_FOUND` for an unknown service,
 *   `INVALID_ARGUMENT` for options that cannot be used.
 */
export async function checkHealth(options: HealthOptions): Promise<HealthStatus> {
  const { address, service = '', deadlineMs = 5000 } = options;
  const { credentials, interceptors, options: channel } = channelSecurity(address, options);
  const deadline = deadlineIn(deadlineMs);
  const client = new Client(address, credentials, { ...channel, interceptors });
  const { path, requestSerialize, responseDeserialize } = healthService['Check']!;
  try {
    return await new Promise<HealthStatus>((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service }, deadline, (error, answer) =>
        error ? reject(VicreglError.from(error)) : resolve((answer as { status: HealthStatus }).status),
      );
    });
  } finally {
    client.close();
  }
}
