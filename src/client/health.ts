import { Client } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { channelSecurity, type SecurityOptions } from './security.js';
import { VicreglError } from './vicreglError.js';

export interface HealthOptions extends SecurityOptions {
  /** HOST:PORT of the service. */
  readonly address: string;
  /** Name of a gRPC service; empty (default) for the whole server. */
  readonly service?: string;
  /** Deadline in ms. Default: 5 s. */
  readonly deadlineMs?: number;
}

/** The status of grpc.health.v1. */
export type HealthStatus = 'UNKNOWN' | 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';

/**
 * Checks by grpc.health.v1 whether a server is serving.
 * @throws VicreglError `UNAVAILABLE` or `DEADLINE_EXCEEDED` if it does not answer, `NOT_FOUND` for an unknown service.
 */
export async function checkHealth(options: HealthOptions): Promise<HealthStatus> {
  const { address, service = '', deadlineMs = 5000 } = options;
  const { credentials, interceptors, options: channel } = channelSecurity(address, options);
  const client = new Client(address, credentials, { ...channel, interceptors });
  const { path, requestSerialize, responseDeserialize } = healthService['Check']!;
  try {
    return await new Promise<HealthStatus>((resolve, reject) => {
      const deadline = Date.now() + deadlineMs;
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        { service },
        { deadline },
        (error, answer) =>
          error ? reject(VicreglError.from(error)) : resolve((answer as { status: HealthStatus }).status),
      );
    });
  } finally {
    client.close();
  }
}
