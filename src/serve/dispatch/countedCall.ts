import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import { status, statusName } from '../../proto/status.js';
import type { Admission } from '../admission/admission.js';
import type { Call } from '../call/call.js';
import { hasMore, type Status, toStatus } from '../call/errors.js';
import { createPhaseRecorder, type PhaseRecorder } from '../call/phases.js';
import { ServeError } from '../call/serveError.js';
import type { FailureLog } from '../operations/failureLog.js';
import type { Metrics } from '../operations/metrics.js';
import { type CallIdentity, logFields } from './callIdentity.js';
import type { InFlight } from './inFlight.js';
import { createWriteStallTimer, SLICE_BYTES } from './writeStall.js';

/** What both transports need to answer a call. */
export interface CallHost {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly failures: Pick<FailureLog, 'failed'>;
  readonly maxResponseBytes: number;
  /** Maximum entries of one request message (see `entryCounter`). */
  readonly messageEntries: number;
  /** Maximum seconds for a caller to receive a response message, per MiB of it, and in which it takes no slice of a message. */
  readonly readSeconds: number;
  /** Bounds the bytes of requests and responses. */
  readonly admission: Pick<Admission, 'requestBytes' | 'responseBytes'>;
  /** Counts the calls whose response has not been sent yet, so that a shutdown can wait for them. */
  readonly inFlight: Pick<InFlight, 'begin' | 'end'>;
}

/** A call as its transport sees it. */
export interface CallSource {
  readonly identity: CallIdentity | undefined;
  /** Address of the caller. */
  readonly peer: string;
  /** Further fields for log lines. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** When the caller stops waiting, as Date.now(). */
  readonly deadline?: number;
  /** Why the call ended before its whole response was sent; called when it has closed. */
  whyLost(): ServeError;
  /** Whether the whole response was sent, or the transport cannot tell; called when the call has closed. */
  isSent(): boolean;
  /** Closes the call without a status, since its caller does not read. */
  reset(): void;
  /** Of HTTP: the status of the response; 499 if none was sent. Called when the call has closed. */
  httpStatus?(): number;
}

/** How long a call took. */
export interface Durations {
  /** Milliseconds from the call's message to its response. */
  readonly totalMs: number;
  /** Seconds of each phase that it went through. */
  readonly phases: PhaseRecorder['seconds'];
}

/** One call, from its start until its whole response has been sent: counted, timed and logged. */
export interface CountedCall {
  readonly call: Call;
  /** The phases of its message, or of all items of a stream. */
  readonly phases: PhaseRecorder;
  /** Runs the work when the call has closed for any reason, to release what the call held. */
  onceClosed(work: () => void): void;
  /**
   * Starts the write stall timer for a message of so many bytes. If the caller does not receive it in time, or takes no slice of it
   * for a time, the call is ended: its signal is aborted with a ServeError `reader_stalled`, and the transport resets it.
   * @returns stops the timer; call it when the message was sent
   */
  startWriteTimer(bytes: number): () => void;
  /** A slice of a message was taken. */
  writeProgress(): void;
  /** Whether `succeed` or `fail` was called; 'failed' for the latter. */
  readonly outcome: 'none' | 'answered' | 'failed';
  /** Ends the work of the call early, such as when its deadline passes. */
  abort(reason: ServeError): void;
  /**
   * Marks the call as answered. Call it once, before the response is passed to the transport. The call is counted and logged when
   * it ends, by whether the response was sent.
   */
  succeed(): Durations;
  /** The same for a failed call. */
  fail(error: unknown): { readonly failure: Status; readonly durations: Durations };
  /** The transport's stream has closed: aborts the call if it is not answered, and releases what it held. Call `end` too. */
  close(): void;
  /** Counts and logs a call that is closed and answered; before that it does nothing. */
  end(): void;
}

/** How a call was answered, before it is known whether the response was sent. */
interface Outcome {
  /** From the call's message to its response. */
  readonly seconds: number;
  /** The error with which it was answered; absent: OK. */
  readonly failure?: { readonly status: Status; readonly error: unknown };
}

/**
 * Opens a call: counts it, records its phases, and gives it a signal for deadline and cancellation. Its transport calls `close` and
 * `end` when the caller has the response, or is gone.
 * @param name of the method
 */
export function openCountedCall(source: CallSource, name: string, host: CallHost): CountedCall {
  const start = performance.now();
  const { identity, peer, fields, deadline } = source;
  const cancelled = new AbortController();
  // Every waiting image of a batch or a stream listens, so many listeners are not a leak.
  setMaxListeners(0, cancelled.signal);
  const span = identity?.span;
  const exemplar = span?.ids.sampled ? span.ids : undefined;
  const phases = createPhaseRecorder((phase, seconds) => host.metrics.phase(name, phase, seconds, exemplar), span);
  const atClose: (() => void)[] = [];
  let stalled: ServeError | undefined;
  let outcome: Outcome | undefined;
  let closed = false;
  let ended = false;

  const writeStall = createWriteStallTimer(host.readSeconds, ({ bytes, seconds, missing }) => {
    const what =
      missing === 'progress'
        ? `received less than ${SLICE_BYTES} bytes of a message of ${bytes} bytes in ${seconds} s (readSeconds)`
        : `did not receive a message of ${bytes} bytes in ${seconds} s (readSeconds: ${host.readSeconds} per MiB)`;
    stalled = new ServeError('reader_stalled', `the caller ${what}; read responses as they arrive`);
    cancelled.abort(stalled);
    source.reset();
  });

  const whyLost = (): ServeError => stalled ?? source.whyLost();

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
    const lost = outcome.failure || source.isSent() ? undefined : whyLost();
    const failure = lost ? { status: toStatus(lost), error: lost } : outcome.failure;
    const code = failure?.status.code ?? status.OK;
    const line = () => ({
      ...logFields(identity),
      method: name,
      ...fields,
      code: statusName(code),
      ms: Math.round(seconds * 1000),
      phasesMs: phaseTimes(),
      peer,
    });
    host.metrics.requestFinished(name, statusName(code), seconds, exemplar);
    span?.end({ code: statusName(code), reason: failure?.status.reason, httpStatus: source.httpStatus?.() });
    if (failure) {
      const { reason, details } = failure.status;
      host.metrics.requestRejected(name, reason);
      // The phase `queue` is recorded when a run begins.
      if (code === status.DEADLINE_EXCEEDED && !phases.seconds.has('queue')) host.metrics.deadlineDropped(name);
      if (code === status.INTERNAL) host.logger.error({ ...line(), err: failure.error }, details);
      else {
        const more = hasMore(failure.error, failure.status) ? { err: failure.error } : {};
        host.failures.failed({ method: name, code: statusName(code), reason }, () => ({ ...line(), ...more }), details);
      }
    } else if (host.logger.isLevelEnabled('debug')) host.logger.debug(line(), 'answered');
    host.inFlight.end();
  }

  function answered(given: Omit<Outcome, 'seconds'> = {}): Durations {
    phases.finish();
    const seconds = (performance.now() - start) / 1000;
    outcome = { seconds, ...given };
    end();
    return { totalMs: seconds * 1000, phases: phases.seconds };
  }

  host.inFlight.begin();
  host.metrics.requestStarted(name);

  return {
    call: {
      signal: cancelled.signal,
      observe: phases.observe,
      ...(span && { trace: span }),
      observeItem(code, error, ran = false) {
        host.metrics.item(name, statusName(code));
        if (code === status.OK) return;
        const failure = toStatus(error);
        host.metrics.itemRejected(name, failure.reason);
        if (code === status.DEADLINE_EXCEEDED && !ran) host.metrics.itemDeadlineDropped(name);
        // The log line of the call, which is answered, does not show the item's error.
        const line = () => ({ ...logFields(identity), method: name, code: statusName(code), err: error });
        if (code === status.INTERNAL) host.logger.error(line(), 'an item failed');
        else if (hasMore(error, failure)) {
          const kind = { method: name, code: statusName(code), reason: failure.reason };
          host.failures.failed(kind, line, 'an item failed');
        }
      },
      ...(deadline !== undefined && { deadline }),
    },
    phases,
    onceClosed(work) {
      if (closed) work();
      else atClose.push(work);
    },
    startWriteTimer: writeStall.written,
    writeProgress: writeStall.progress,
    get outcome() {
      return outcome === undefined ? 'none' : outcome.failure ? 'failed' : 'answered';
    },
    abort: (reason) => cancelled.abort(reason),
    succeed: answered,
    fail(error) {
      const failure = toStatus(error);
      return { failure, durations: answered({ failure: { status: failure, error } }) };
    },
    close() {
      closed = true;
      writeStall.stop();
      if (!outcome) cancelled.abort(whyLost());
      for (const work of atClose.splice(0)) work();
    },
    end,
  };
}
