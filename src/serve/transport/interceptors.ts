import { type ServerInterceptor, status } from '@grpc/grpc-js';
import { serviceName } from '../../proto/load.js';
import { requireToken } from '../auth/bearer.js';
import type { TokenStore } from '../auth/tokenStore.js';
import { type Status, toStatus } from '../errors.js';
import type { ModelRegistry } from '../models/registry.js';
import type { FailureLog } from '../monitoring/failureLog.js';
import type { Metrics } from '../monitoring/metrics.js';
import { ServeError } from '../serveError.js';
import { callFacts, setCallFacts } from './callFacts.js';
import { methodName } from './codec.js';
import { type DoorCheck, door } from './door.js';
import { timedStatus } from './statusTrailer.js';
import { watchCalls } from './watchCalls.js';

/** Who may call a service. */
export interface Auth {
  readonly store: TokenStore;
  /** Whether grpc.health.v1 answers without a token. */
  readonly openHealth: boolean;
}

export interface InterceptorOptions {
  /** Default: everyone may call. */
  readonly auth: Auth | undefined;
  readonly models: Pick<ModelRegistry, 'full'>;
  readonly metrics: Metrics;
  readonly failures: Pick<FailureLog, 'failed'>;
  /** Seconds in which a call's message has to arrive. */
  readonly receiveSeconds: number;
}

/** Methods that put an image into a queue, whatever their message says; it may name any of the models. */
const queueing: ReadonlySet<string> = new Set(
  ['Embed', 'ExtractFeatures', 'ExtractFeaturesChunked'].map((method) => `/${serviceName}/${method}`),
);

/** What every call passes on its way in: the watch of what no handler sees, then the door. */
export function interceptorsOf(options: InterceptorOptions): ServerInterceptor[] {
  const { auth, models, metrics, failures, receiveSeconds } = options;
  function refused(method: string, { code, details, reason }: Status, line: () => object): void {
    metrics.requestRefused(method, status[code], reason);
    failures.failed({ method, code: status[code], reason }, line, details);
  }

  const watch = watchCalls(serviceName, {
    received: metrics.received,
    sent: metrics.sent,
    receiveMs: receiveSeconds * 1000,
    largeMessage: (details) =>
      new ServeError('too_large', `${details} bytes (maxMessageBytes); send smaller images, or fewer at a time`),
    lateMessage: () =>
      new ServeError(
        'message_late',
        `the message of the call did not arrive in ${receiveSeconds} s (receiveSeconds); send less at a time, or faster`,
      ),
    turnAway(error, method, facts, peer, start) {
      const failure = toStatus(error);
      refused(method, failure, () => ({ ...facts, peer }));
      return timedStatus(failure, start);
    },
    withoutMessage(method, facts, peer) {
      metrics.requestWithoutMessage(method);
      failures.failed(
        { method, code: 'NO_MESSAGE', reason: 'NO_MESSAGE' },
        () => ({ ...facts, peer }),
        'the call ended before its whole message had arrived',
      );
    },
  });
  const checks: DoorCheck[] = [];
  if (auth) {
    checks.push(
      requireToken({
        ...auth,
        onIdentified: (metadata, { name }) =>
          setCallFacts(metadata, { requestId: '', ...callFacts(metadata), caller: name }),
      }),
    );
  }
  checks.push((path) => {
    const full = queueing.has(path) ? models.full : undefined;
    if (full) throw full;
  });
  return [
    watch,
    door(checks, ({ path, peer, metadata }, refusal) =>
      refused(methodName({ path }), refusal, () => ({ ...callFacts(metadata), peer })),
    ),
  ];
}
