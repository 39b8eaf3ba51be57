import type { FastifyRequest } from 'fastify';
import type { ServeLimits } from '../config/serveLimits.js';
import type { CallHost } from '../dispatch/countedCall.js';
import type { HttpRequestState } from './openHttpCall.js';

/** The environment of all routes. */
export interface HttpHost extends CallHost {
  readonly limits: ServeLimits;
  /** Aborted when the drain begins. */
  readonly draining: AbortSignal;
  /** Counts and logs a request that no call was opened for. @param method name of the method, or `unknown` */
  refused(request: FastifyRequest, method: string, error: unknown): void;
}

/** How errors are written for the clients of a route. */
export type ErrorForm = 'google' | 'openai';

/** What a route declares. */
export interface RouteConfig {
  /** Name of the gRPC method, for metrics; absent for routes that are not counted as calls. */
  readonly rpc?: string;
  readonly errors?: ErrorForm;
  /** Answered without a token. */
  readonly open?: boolean;
  /** Rejected while the queues of all models are full. */
  readonly queueing?: boolean;
}

declare module 'fastify' {
  interface FastifyRequest {
    call: HttpRequestState;
  }
  interface FastifyContextConfig extends RouteConfig {}
}
