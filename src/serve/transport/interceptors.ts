import { type ServerInterceptor, status } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { serviceName } from '../../proto/load.js';
import { requireToken } from '../auth/bearer.js';
import type { TokenStore } from '../auth/tokenStore.js';
import type { Metrics } from '../monitoring/metrics.js';
import { callFacts, setCallFacts } from './callFacts.js';
import { watchCalls } from './watchCalls.js';

/** Who may call a service. */
export interface Auth {
  readonly store: TokenStore;
  /** Whether grpc.health.v1 answers without a token. */
  readonly openHealth: boolean;
}

/** What every call passes on its way in: the watch of what no handler sees, then the door. */
export function interceptorsOf(auth: Auth | undefined, metrics: Metrics, logger: Logger): ServerInterceptor[] {
  const watch = watchCalls(serviceName, {
    received: metrics.received,
    sent: metrics.sent,
    withoutMessage(method, facts, peer) {
      metrics.requestWithoutMessage(method);
      logger.info(
        { ...facts, method, peer, code: 'NO_MESSAGE' },
        'the call ended before its whole message had arrived',
      );
    },
  });
  if (!auth) return [watch];
  const door = requireToken({
    ...auth,
    onAdmitted: (metadata, { name }) => setCallFacts(metadata, { requestId: '', ...callFacts(metadata), caller: name }),
    onRefused({ path, peer, metadata }, { code, details, reason }) {
      const method = path.split('/').at(-1)!;
      metrics.requestRefused(method, status[code], reason);
      logger.info({ ...callFacts(metadata), method, peer, code: status[code], reason }, details);
    },
  });
  return [watch, door];
}
