import { type Metadata, type ServerInterceptor, status } from '@grpc/grpc-js';
import { inferenceServiceName, serviceName } from '../../proto/load.js';
import { type Status, toStatus } from '../call/errors.js';
import { ServeError } from '../call/serveError.js';
import { overLimit, type ServeLimits } from '../config/serveLimits.js';
import { logFields } from '../dispatch/callIdentity.js';
import type { ModelRegistry } from '../inference/registry.js';
import { createAuthenticator } from '../operations/auth/bearer.js';
import type { TokenStore } from '../operations/auth/tokenStore.js';
import type { FailureLog } from '../operations/failureLog.js';
import type { Metrics } from '../operations/metrics.js';
import { grpcAttributes, rpcMethod } from '../tracing/attributes.js';
import type { Tracing } from '../tracing/tracing.js';
import { type AdmissionCheck, admissionInterceptor } from './admissionInterceptor.js';
import { callContext } from './callContext.js';
import { rejectionStatus } from './trailers.js';
import { claimCount, isForeign } from './uncountedCalls.js';
import { type RejectedCall, type WireObserver, type WrongEnd, wireInterceptor } from './wireInterceptor.js';

/** The callers that a service accepts. */
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
  /** Seconds in which the message of a call has to arrive. */
  readonly receiveSeconds: number;
  /** Maximum size of the metadata of a call in bytes. */
  readonly metadataBytes: number;
  /** Default: calls are not traced. */
  readonly tracing?: Pick<Tracing, 'call'> | undefined;
}

/** The error for a status with which grpc-js itself would end a call; undefined if that status needs no further details. */
function errorOfOwnStatus(code: status, details: string, begun: boolean): ServeError | undefined {
  if (code === status.RESOURCE_EXHAUSTED) {
    return new ServeError('too_large', `${details} bytes (maxMessageBytes); send smaller images, or fewer at a time`);
  }
  if (code === status.UNIMPLEMENTED) {
    return new ServeError('unsupported_encoding', `${details}; send messages uncompressed, or with gzip or deflate`);
  }
  // A handler that has begun handles the deadline itself.
  if (code === status.DEADLINE_EXCEEDED && !begun) {
    return new ServeError(
      'deadline_exceeded',
      'the deadline of the call passed before its message arrived; allow more time',
    );
  }
  // Other cases of INTERNAL of grpc-js before a response is written: a message that cannot be decompressed, an invalid deadline.
  if (code === status.INTERNAL && /decompress|grpc-timeout/.test(details)) {
    return new ServeError('invalid_argument', details);
  }
  return undefined;
}

const wrongEnds: Readonly<Record<WrongEnd, string>> = {
  none: 'the call ended without a message; send one message, which may be empty',
  part: 'the call ended in the middle of a message; the received part is discarded',
  second: 'the call has a second message; send only one',
};

/** The size of a call's metadata as HTTP/2 counts it: names, values and 32 bytes per entry. */
function sizeOfMetadata(metadata: Metadata): number {
  let sum = 0;
  for (const [name, values] of Object.entries(metadata.toHttp2Headers())) {
    for (const value of Array.isArray(values) ? values : [values]) sum += name.length + String(value).length + 32;
  }
  return sum;
}

/** @throws ServeError `too_large`, from the check. */
function checkMetadataSize(limits: Pick<ServeLimits, 'metadataBytes'>): AdmissionCheck {
  return (_, metadata) => {
    const bytes = sizeOfMetadata(metadata);
    if (bytes <= limits.metadataBytes) return;
    throw new ServeError(
      'too_large',
      `the metadata of the call has ${bytes} bytes (names, values, and 32 for each), ` +
        `${overLimit(limits, 'metadataBytes')}; send less metadata, and images in the message`,
    );
  };
}

/** @throws ServeError `unauthenticated` or `rate_limited`, from the check. */
function checkToken(auth: Auth): AdmissionCheck {
  const authenticate = createAuthenticator(auth);
  return (path, metadata) => {
    const [authorization] = metadata.get('authorization');
    // The handlers do not need the secret, and thus cannot log it.
    metadata.remove('authorization');
    authenticate(path, authorization?.toString(), ({ name }) => {
      const context = callContext(metadata);
      if (context) context.caller = name;
    });
  };
}

/** @throws ServeError `overloaded`, from the check. */
function checkQueues({ models, queueing }: Pick<InterceptorOptions, 'models' | 'queueing'>): AdmissionCheck {
  return (path) => {
    const full = queueing.has(path) ? models.full : undefined;
    if (full) throw full;
  };
}

/** The only value of a metadata entry; undefined if there is none, or more than one, of which none can be trusted. */
function onlyValue(metadata: Metadata, key: string): string | undefined {
  const values = metadata.get(key);
  return values.length === 1 ? values[0]!.toString() : undefined;
}

/** Begins the server spans of calls. */
function startSpans(tracing: Pick<Tracing, 'call'>): NonNullable<WireObserver['traced']> {
  return (path, metadata, { requestId, start, stream }) =>
    tracing.call({
      name: rpcMethod(path),
      start,
      headers: {
        traceparent: onlyValue(metadata, 'traceparent'),
        // A list may be spread over several entries.
        tracestate: metadata.get('tracestate').join(',') || undefined,
      },
      attributes: () => grpcAttributes(path, requestId, stream?.session?.socket),
    });
}

/** The interceptors of every call: the innermost one, then admission. */
export function interceptorsOf(options: InterceptorOptions): ServerInterceptor[] {
  const { auth, metrics, failures, receiveSeconds, tracing } = options;
  function rejected({ method, path, context, peer }: RejectedCall, { code, details, reason }: Status): void {
    if (!claimCount(context?.stream)) return;
    if (!isForeign(path)) metrics.requestRefused(method, status[code], reason);
    context?.span?.end({ code: status[code], reason });
    failures.failed({ method, code: status[code], reason }, () => ({ ...logFields(context), peer }), details);
  }

  const services = [{ name: serviceName }, { name: inferenceServiceName, protocol: 'kserve' }];
  const wire = wireInterceptor(services, {
    received: metrics.received,
    sent: metrics.sent,
    receiveMs: receiveSeconds * 1000,
    ownStatus: errorOfOwnStatus,
    ...(tracing && { traced: startSpans(tracing) }),
    lateMessage: () =>
      new ServeError(
        'message_late',
        `the message of the call did not arrive in ${receiveSeconds} s (receiveSeconds); send less at a time, or faster`,
      ),
    wrongEnd: (end) => new ServeError('invalid_argument', wrongEnds[end]),
    reject(error, call, start) {
      const failure = toStatus(error);
      rejected(call, failure);
      return rejectionStatus(failure, start);
    },
  });
  const checks: AdmissionCheck[] = [
    checkMetadataSize(options),
    ...(auth ? [checkToken(auth)] : []),
    checkQueues(options),
  ];
  return [wire, admissionInterceptor(checks, rejected)];
}
