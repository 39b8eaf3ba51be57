import { type EventEmitter, setMaxListeners } from 'node:events';
import { constants } from 'node:http2';
import { Metadata, status } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { Admission } from '../admission/admission.js';
import type { Call } from '../call/call.js';
import { hasMore, type Status, toStatus } from '../call/errors.js';
import { createPhaseRecorder, type PhaseRecorder } from '../call/phases.js';
import { ServeError } from '../call/serveError.js';
import type { FailureLog } from '../operations/failureLog.js';
import type { Metrics } from '../operations/metrics.js';
import { wasCutOff } from './brokenConnections.js';
import { callContext, logFields } from './callContext.js';
import { sentStatus } from './grpcInternals.js';
import type { InFlight } from './inFlight.js';
import { addDurations, type StatusWithTrailers, withDetails } from './trailers.js';
import { claimCount } from './uncountedCalls.js';
import { createWriteStallTimer } from './writeStall.js';

/** The environment of all handlers. */
export interface HandlerHost {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly failures: Pick<FailureLog, 'failed'>;
  readonly maxResponseBytes: number;
  /** Maximum entries of one request message (see `entryCounter`). */
  readonly messageEntries: number;
  /** Maximum unanswered items of one stream. */
  readonly streamItems: number;
  /** Maximum seconds for a caller to receive a response message, per MiB of it. */
  readonly readSeconds: number;
  /** Bounds the bytes of requests and responses. */
  readonly admission: Pick<Admission, 'requestBytes' | 'responseBytes'>;
  /** Counts the calls whose response has not been sent yet, so that a shutdown can wait for them. */
  readonly inFlight: Pick<InFlight, 'begin' | 'end'>;
  /** Aborted when the drain begins: from then on, streams accept no more items. */
  readonly draining: AbortSignal;
}

/** The common part of all kinds of calls in grpc-js. */
type GrpcCall = Pick<EventEmitter, 'once'> & {
  readonly cancelled: boolean;
  readonly metadata: Metadata;
  getDeadline(): Date | number;
  getPeer(): string;
};

/** One call, from its start until its whole response has been sent. */
export interface OpenCall {
  readonly call: Call;
  /** The phases of its message, or of all items of a stream. */
  readonly phases: PhaseRecorder;
  /** Runs the work when the stream has closed for any reason, to release what the call held. */
  onceClosed(work: () => void): void;
  /**
   * Starts the write stall timer for a message of so many bytes. If the caller does not receive it in time, the call is ended: its
   * signal is aborted with a ServeError `reader_stalled`, and its stream is reset.
   * @returns stops the timer; call it when HTTP/2 has sent the message
   */
  startWriteTimer(bytes: number): () => void;
  /**
   * Marks the call as answered. Call it once, before the response is passed to grpc-js. The call is counted and logged when it ends,
   * by whether the response was sent.
   */
  succeed(): Metadata;
  /** The same for a failed call. */
  fail(error: unknown): StatusWithTrailers;
}

/** Tolerance in ms: the deadline of a client, which then cancels, passes before ours, since its timer started earlier. */
const DEADLINE_SLACK_MS = 20;

/** Why a call was cancelled; grpc-js does not report the reason. */
function cancellation(grpcCall: GrpcCall): ServeError {
  const deadline = Number(grpcCall.getDeadline());
  return Date.now() >= deadline - DEADLINE_SLACK_MS
    ? new ServeError('deadline_exceeded', 'the deadline of the call passed before it was answered')
    : new ServeError('cancelled', 'the caller cancelled the call');
}

/** The call's deadline, if it has one; otherwise grpc-js returns Infinity. */
function deadlineOf(grpcCall: GrpcCall): { readonly deadline?: number } {
  const deadline = Number(grpcCall.getDeadline());
  return Number.isFinite(deadline) ? { deadline } : {};
}

/** How a call was answered, before it is known whether the response was sent. */
interface Outcome {
  /** From the call's message to its response. */
  readonly seconds: number;
  /** The error with which it was answered; absent: OK. */
  readonly failure?: { readonly status: Status; readonly error: unknown };
}

/** Opens a call: counts it, records its phases, and gives it a signal for deadline and cancellation. */
export function openCall(grpcCall: GrpcCall, name: string, host: HandlerHost): OpenCall {
  const start = performance.now();
  const context = callContext(grpcCall.metadata);
  const stream = context?.stream;
  // Neither is available after the connection was closed.
  const session = stream?.session;
  const peer = grpcCall.getPeer();
  const cancelled = new AbortController();
  // Every waiting image of a batch or a stream listens, so many listeners are not a leak.
  setMaxListeners(0, cancelled.signal);
  const phases = createPhaseRecorder((phase, seconds) => host.metrics.phase(name, phase, seconds));
  const atClose: (() => void)[] = [];
  let stalled: ServeError | undefined;
  let outcome: Outcome | undefined;
  let closed = false;
  let ended = false;

  const writeStall = createWriteStallTimer(host.readSeconds, (bytes, seconds) => {
    stalled = new ServeError(
      'reader_stalled',
      `the caller did not receive a message of ${bytes} bytes in ${seconds} s (readSeconds: ${host.readSeconds} per MiB); read ` +
        'responses as they arrive',
    );
    cancelled.abort(stalled);
    // A status would not arrive: grpc-js sends it as trailers, which wait behind the messages that flow control blocks. gRPC maps
    // this code to RESOURCE_EXHAUSTED.
    stream?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });

  /** Why a call ended before its whole response was sent. */
  function whyLost(): ServeError {
    if (stalled) return stalled;
    if (stream && wasCutOff(stream, session)) {
      return host.draining.aborted
        ? new ServeError('shutting_down', 'the server was shut down before the call was answered')
        : new ServeError('connection_broken', 'the connection of the call was closed for an HTTP/2 protocol error');
    }
    return cancellation(grpcCall);
  }

  /** Whether a response that was passed to grpc-js has been sent, as far as HTTP/2 reports it. */
  function isSent(): boolean {
    const sent = stream && sentStatus(stream);
    return sent !== undefined && (!sent.alone || stream?.rstCode === constants.NGHTTP2_NO_ERROR);
  }

  /** Milliseconds of each phase, rounded to 0.1. */
  function phaseTimes(): Record<string, number> {
    return Object.fromEntries(
      [...phases.seconds].map(([phase, seconds]) => [phase, Math.round(seconds * 10_000) / 10]),
    );
  }

  /** Counts and logs the call as its caller saw it: a response that was not sent counts as a failure. */
  function end(): void {
    if (ended || !closed || outcome === undefined) return;
    ended = true;
    const { seconds } = outcome;
    const lost = outcome.failure || (stream && isSent()) ? undefined : stream && whyLost();
    const failure = lost ? { status: toStatus(lost), error: lost } : outcome.failure;
    const code = failure?.status.code ?? status.OK;
    const line = () => ({
      ...logFields(context),
      method: name,
      code: status[code],
      ms: Math.round(seconds * 1000),
      phasesMs: phaseTimes(),
      peer,
    });
    host.metrics.requestFinished(name, status[code], seconds);
    if (failure) {
      const { reason, details } = failure.status;
      host.metrics.requestRejected(name, reason);
      // The phase `queue` is recorded when a run begins.
      if (code === status.DEADLINE_EXCEEDED && !phases.seconds.has('queue')) host.metrics.deadlineDropped(name);
      if (code === status.INTERNAL) host.logger.error({ ...line(), err: failure.error }, details);
      else {
        const more = hasMore(failure.error, failure.status) ? { err: failure.error } : {};
        host.failures.failed({ method: name, code: status[code], reason }, () => ({ ...line(), ...more }), details);
      }
    } else if (host.logger.isLevelEnabled('debug')) host.logger.debug(line(), 'answered');
    host.inFlight.end();
  }

  // grpc-js emits `cancelled` when the stream closes or its status was sent; before a response it means that the caller cancelled.
  function onClose(): void {
    closed = true;
    writeStall.stop();
    if (!outcome) cancelled.abort(whyLost());
    for (const work of atClose.splice(0)) work();
    // For a status without messages, grpc-js reports only that it was written.
    if (outcome && !outcome.failure && stream && !stream.closed && !isSent()) stream.once('close', end);
    else end();
  }

  function answered(given: Omit<Outcome, 'seconds'> = {}): Metadata {
    phases.finish();
    outcome = { seconds: (performance.now() - start) / 1000, ...given };
    end();
    const metadata = new Metadata();
    addDurations(metadata, start, phases.seconds);
    return metadata;
  }

  grpcCall.once('cancelled', onClose);
  claimCount(stream);
  host.inFlight.begin();
  host.metrics.requestStarted(name);
  if (grpcCall.cancelled) onClose();

  return {
    call: {
      signal: cancelled.signal,
      observe: phases.observe,
      observeItem(code, error, ran = false) {
        host.metrics.item(name, status[code]);
        if (code === status.OK) return;
        const failure = toStatus(error);
        host.metrics.itemRejected(name, failure.reason);
        if (code === status.DEADLINE_EXCEEDED && !ran) host.metrics.itemDeadlineDropped(name);
        // The log line of the call, which is answered, does not show the item's error.
        const line = () => ({ ...logFields(context), method: name, code: status[code], err: error });
        if (code === status.INTERNAL) host.logger.error(line(), 'an item failed');
        else if (hasMore(error, failure)) {
          const kind = { method: name, code: status[code], reason: failure.reason };
          host.failures.failed(kind, line, 'an item failed');
        }
      },
      ...deadlineOf(grpcCall),
    },
    phases,
    onceClosed(work) {
      if (closed) work();
      else atClose.push(work);
    },
    startWriteTimer: writeStall.written,
    succeed: answered,
    fail(error) {
      const failure = toStatus(error);
      return withDetails(failure, answered({ failure: { status: failure, error } }));
    },
  };
}
