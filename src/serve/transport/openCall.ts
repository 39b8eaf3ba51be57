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

/** What every handler shares. */
export interface HandlerHost {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly failures: Pick<FailureLog, 'failed'>;
  readonly maxResponseBytes: number;
  /** Entries of one request message (see `entryCounter`). */
  readonly messageEntries: number;
  /** Items of one stream that may be unanswered. */
  readonly streamItems: number;
  /** Seconds in which a caller has to take each MiB of its answers. */
  readonly readSeconds: number;
  /** Bounds the bytes of requests and answers. */
  readonly admission: Pick<Admission, 'requestBytes' | 'responseBytes'>;
  /** Counts the calls whose answer has not been sent yet, so that a shutdown can wait for them. */
  readonly inFlight: Pick<InFlight, 'begin' | 'end'>;
  /** Aborted when the drain begins: streams accept no more items then. */
  readonly draining: AbortSignal;
}

/** What calls of every kind have in grpc-js. */
type GrpcCall = Pick<EventEmitter, 'once'> & {
  readonly cancelled: boolean;
  readonly metadata: Metadata;
  getDeadline(): Date | number;
  getPeer(): string;
};

/** One call, from its start until its whole answer has been sent. */
export interface OpenCall {
  readonly call: Call;
  /** The phases of its one message, or of all items of a stream. */
  readonly phases: PhaseRecorder;
  /** Runs the work when the stream has closed, whoever closed it: what the call held is released then. */
  onceClosed(work: () => void): void;
  /**
   * Starts the write stall timer for a message of so many bytes. When the caller does not take it in time, the call ends: its
   * signal is aborted with a ServeError `reader_stalled`, and its stream is reset.
   * @returns to be called when HTTP/2 has taken the message
   */
  startWriteTimer(bytes: number): () => void;
  /**
   * Marks the call as answered. Call it once, before the answer is handed to grpc-js. The call is counted and logged when it
   * ends, by whether the answer was sent.
   */
  succeed(): Metadata;
  /** The same for one that failed. */
  fail(error: unknown): StatusWithTrailers;
}

/** A client's deadline passes a little before ours, in ms: its timer started before the call travelled, and it cancels then. */
const DEADLINE_SLACK_MS = 20;

/** Why a call was cancelled: grpc-js only says that it was. */
function cancellation(grpcCall: GrpcCall): ServeError {
  const deadline = Number(grpcCall.getDeadline());
  return Date.now() >= deadline - DEADLINE_SLACK_MS
    ? new ServeError('deadline_exceeded', 'the deadline of the call passed before it was answered')
    : new ServeError('cancelled', 'the caller gave up');
}

/** The call's deadline, where it has one: grpc-js gives Infinity where it does not. */
function deadlineOf(grpcCall: GrpcCall): { readonly deadline?: number } {
  const deadline = Number(grpcCall.getDeadline());
  return Number.isFinite(deadline) ? { deadline } : {};
}

/** How a call was answered, before it is known whether the answer went out. */
interface Outcome {
  /** From the call's message to its answer. */
  readonly seconds: number;
  /** What it was answered with; absent: OK. */
  readonly failure?: { readonly status: Status; readonly error: unknown };
}

/** Opens a call: counts it, records its phases, and gives it a signal for deadline and cancellation. */
export function openCall(grpcCall: GrpcCall, name: string, host: HandlerHost): OpenCall {
  const start = performance.now();
  const context = callContext(grpcCall.metadata);
  const stream = context?.stream;
  // Both are gone when the connection is.
  const session = stream?.session;
  const peer = grpcCall.getPeer();
  const cancelled = new AbortController();
  // Every image of a batch or a stream listens while it waits: many listeners are no leak.
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
      `the caller did not take a message of ${bytes} bytes in ${seconds} s (readSeconds is ${host.readSeconds} for each ` +
        'MiB); read while answers come',
    );
    cancelled.abort(stalled);
    // A status would not do: grpc-js sends it as trailers, which wait behind the messages that flow control holds back. The
    // caller sees RESOURCE_EXHAUSTED, which is how gRPC reads this code.
    stream?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });

  /** Why a call ended before its whole answer was sent. */
  function whyLost(): ServeError {
    if (stalled) return stalled;
    if (stream && wasCutOff(stream, session)) {
      return host.draining.aborted
        ? new ServeError('shutting_down', 'the server was shut down before the call was answered')
        : new ServeError('connection_broken', 'the connection of the call was closed for an HTTP/2 protocol error');
    }
    return cancellation(grpcCall);
  }

  /** Whether an answer that was handed over has gone out, as far as HTTP/2 can say. */
  function isSent(): boolean {
    const sent = stream && sentStatus(stream);
    return sent !== undefined && (!sent.alone || stream?.rstCode === constants.NGHTTP2_NO_ERROR);
  }

  /** Milliseconds of each phase, to a tenth. */
  function phaseTimes(): Record<string, number> {
    return Object.fromEntries(
      [...phases.seconds].map(([phase, seconds]) => [phase, Math.round(seconds * 10_000) / 10]),
    );
  }

  /** Counts and logs the call as its caller saw it: an answer that was not sent is none. */
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

  // grpc-js emits `cancelled` when the stream closes or its status was taken; before an answer it means that the caller cancelled.
  function onClose(): void {
    closed = true;
    writeStall.stop();
    if (!outcome) cancelled.abort(whyLost());
    for (const work of atClose.splice(0)) work();
    // For a status without messages, grpc-js only says that it was written.
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
