import { type ServerInterceptor, status } from '@grpc/grpc-js';
import { serviceName } from '../../proto/load.js';
import { requireToken } from '../auth/bearer.js';
import type { TokenStore } from '../auth/tokenStore.js';
import type { ModelRegistry } from '../models/registry.js';
import type { FailureLog } from '../monitoring/failureLog.js';
import type { Metrics } from '../monitoring/metrics.js';
import { callFacts, setCallFacts } from './callFacts.js';
import { type DoorCheck, door } from './door.js';
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
}

/** Methods that put an image into a queue, whatever their message says; it may name any of the models. */
const queueing: ReadonlySet<string> = new Set(
  ['Embed', 'ExtractFeatures', 'ExtractFeaturesChunked'].map((method) => `/${serviceName}/${method}`),
);

/** What every call passes on its way in: the watch of what no handler sees, then the door. */
export function interceptorsOf({ auth, models, metrics, failures }: InterceptorOptions): ServerInterceptor[] {
  const watch = watchCalls(serviceName, {
    received: metrics.received,
    sent: metrics.sent,
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
        onAdmitted: (metadata, { name }) =>
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
    door(checks, ({ path, peer, metadata }, { code, details, reason }) => {
      const method = path.split('/').at(-1)!;
      metrics.requestRefused(method, status[code], reason);
      failures.failed({ method, code: status[code], reason }, () => ({ ...callFacts(metadata), peer }), details);
    }),
  ];
}
