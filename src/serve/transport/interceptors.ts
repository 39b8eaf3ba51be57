import { type Metadata, type ServerInterceptor, status } from '@grpc/grpc-js';
import { serviceName } from '../../proto/load.js';
import { type Status, toStatus } from '../call/errors.js';
import { ServeError } from '../call/serveError.js';
import type { ModelRegistry } from '../inference/registry.js';
import { requireToken } from '../operations/auth/bearer.js';
import type { TokenStore } from '../operations/auth/tokenStore.js';
import type { FailureLog } from '../operations/failureLog.js';
import type { Metrics } from '../operations/metrics.js';
import { callFacts, setCallFacts } from './callFacts.js';
import { streamOf } from './callStream.js';
import { methodName } from './codec.js';
import { type DoorCheck, door } from './door.js';
import { timedStatus } from './statusTrailer.js';
import { claimCall } from './unseenCalls.js';
import { type WrongEnd, watchCalls } from './watchCalls.js';

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
  /** Paths of the methods whose calls are rejected while the queue of every model is full. */
  readonly queueing: ReadonlySet<string>;
  readonly metrics: Metrics;
  readonly failures: Pick<FailureLog, 'failed'>;
  /** Seconds in which a call's message has to arrive. */
  readonly receiveSeconds: number;
  /** Most bytes of a call's metadata. */
  readonly metadataBytes: number;
}

/** What grpc-js finds wrong with what came of a call, beneath all interceptors; undefined where its status says all there is. */
function refusedBeneath(code: status, details: string, begun: boolean): ServeError | undefined {
  if (code === status.RESOURCE_EXHAUSTED) {
    return new ServeError('too_large', `${details} bytes (maxMessageBytes); send smaller images, or fewer at a time`);
  }
  if (code === status.UNIMPLEMENTED) {
    return new ServeError('unsupported_encoding', `${details}; send messages as they are, or with gzip or deflate`);
  }
  // A handler that has begun sees the deadline itself, and answers with what it has.
  if (code === status.DEADLINE_EXCEEDED && !begun) {
    return new ServeError('deadline_exceeded', 'the deadline of the call passed before its message had arrived');
  }
  // What else grpc-js calls INTERNAL before an answer is written: a message that does not decompress, a deadline that is no time.
  if (code === status.INTERNAL && /decompress|grpc-timeout/.test(details)) {
    return new ServeError('invalid_argument', details);
  }
  return undefined;
}

const wrongEnds: Readonly<Record<WrongEnd, string>> = {
  none: 'the call ended without a message; a method that takes one needs one, if an empty one',
  part: 'the call ended in the middle of a message; what came of it is dropped',
  second: 'the call brought a second message where the method takes one',
};

/** Bytes of a call's metadata as HTTP/2 counts them: names, values and 32 for each. */
function metadataBytes(metadata: Metadata): number {
  let sum = 0;
  for (const [name, values] of Object.entries(metadata.toHttp2Headers())) {
    for (const value of Array.isArray(values) ? values : [values]) sum += name.length + String(value).length + 32;
  }
  return sum;
}

/** What every call passes on its way in: the watch of what no handler sees, then the door. */
export function interceptorsOf(options: InterceptorOptions): ServerInterceptor[] {
  const { auth, models, queueing, metrics, failures, receiveSeconds } = options;
  function refused(
    call: { readonly method: string; readonly metadata: Metadata | undefined; readonly peer: string },
    { code, details, reason }: Status,
  ): void {
    const { method, metadata, peer } = call;
    if (!claimCall(metadata && streamOf(metadata))) return;
    metrics.requestRefused(method, status[code], reason);
    const facts = metadata && callFacts(metadata);
    failures.failed({ method, code: status[code], reason }, () => ({ ...facts, peer }), details);
  }

  const watch = watchCalls(serviceName, {
    received: metrics.received,
    sent: metrics.sent,
    receiveMs: receiveSeconds * 1000,
    refusedBeneath,
    lateMessage: () =>
      new ServeError(
        'message_late',
        `the message of the call did not arrive in ${receiveSeconds} s (receiveSeconds); send less at a time, or faster`,
      ),
    wrongEnd: (end) => new ServeError('invalid_argument', wrongEnds[end]),
    turnAway(error, call, start) {
      const failure = toStatus(error);
      refused(call, failure);
      return timedStatus(failure, start);
    },
  });
  const checks: DoorCheck[] = [
    (_, metadata) => {
      const bytes = metadataBytes(metadata);
      if (bytes <= options.metadataBytes) return;
      throw new ServeError(
        'too_large',
        `the metadata of the call has ${bytes} bytes (names, values, and 32 for each), over the limit of ` +
          `${options.metadataBytes} (metadataBytes); send less of it, and images in the message`,
      );
    },
  ];
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
      refused({ method: methodName({ path }), metadata, peer }, refusal),
    ),
  ];
}
