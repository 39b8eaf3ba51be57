import type { EventEmitter } from 'node:events';
import { constants } from 'node:http2';
import { Metadata } from '@grpc/grpc-js';
import { ServeError } from '../call/serveError.js';
import { logFields } from '../dispatch/callIdentity.js';
import { type CallHost, type CountedCall, type Durations, openCountedCall } from '../dispatch/countedCall.js';
import { SLICE_BYTES } from '../dispatch/writeStall.js';
import { wasCutOff } from './brokenConnections.js';
import { callContext } from './callContext.js';
import { sentStatus, wasDropped, writeInSlices } from './grpcInternals.js';
import { addDurations, type StatusWithTrailers, withDetails } from './trailers.js';
import { claimCount } from './uncountedCalls.js';

/** The environment of all handlers. */
export interface HandlerHost extends CallHost {
  /** Maximum unanswered items of one stream. */
  readonly streamItems: number;
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
export interface OpenCall extends Pick<CountedCall, 'call' | 'phases' | 'onceClosed' | 'startWriteTimer'> {
  /**
   * Marks the call as answered. Call it once, before the response is passed to grpc-js. The call is counted and logged when it ends,
   * by whether the response was sent.
   */
  succeed(): Metadata;
  /** The same for a failed call. */
  fail(error: unknown): StatusWithTrailers;
  /** Logs why a response could not be passed to grpc-js. */
  unsendable(error: unknown): void;
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

function trailersOf({ totalMs, phases }: Durations): Metadata {
  const metadata = new Metadata();
  addDurations(metadata, totalMs, phases);
  return metadata;
}

/** Opens a call: counts it, records its phases, and gives it a signal for deadline and cancellation. */
export function openCall(grpcCall: GrpcCall, name: string, host: HandlerHost): OpenCall {
  const context = callContext(grpcCall.metadata);
  const stream = context?.stream;
  // Neither is available after the connection was closed.
  const session = stream?.session;
  const peer = grpcCall.getPeer();

  /** Whether a response that was passed to grpc-js has been sent, as far as HTTP/2 reports it. */
  function isSent(): boolean {
    if (!stream) return true;
    const sent = sentStatus(stream);
    return sent !== undefined && (!sent.alone || stream.rstCode === constants.NGHTTP2_NO_ERROR);
  }

  // Before the count, as a call that is already cancelled ends at once.
  claimCount(stream);
  const counted = openCountedCall(
    {
      identity: context,
      peer,
      ...deadlineOf(grpcCall),
      whyLost() {
        const broken = stream !== undefined && wasCutOff(stream, session);
        const dropped = wasDropped(session);
        if ((broken || dropped) && host.draining.aborted) {
          return new ServeError('shutting_down', 'the server was shut down before the call was answered');
        }
        if (broken) {
          return new ServeError(
            'connection_broken',
            'the connection of the call was closed for an HTTP/2 protocol error',
          );
        }
        if (dropped) {
          return new ServeError(
            'connection_aged',
            'the connection of the call was closed for its age, and the call took longer than connectionAgeGraceSeconds',
          );
        }
        return cancellation(grpcCall);
      },
      isSent,
      // A status would not arrive: grpc-js sends it as trailers, which wait behind the messages that flow control blocks. gRPC maps
      // this code to RESOURCE_EXHAUSTED.
      reset: () => stream?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM),
    },
    name,
    host,
  );

  if (stream) writeInSlices(stream, SLICE_BYTES, counted.writeProgress);

  // grpc-js emits `cancelled` when the stream closes or its status was sent; before a response it means that the caller cancelled.
  function onClose(): void {
    counted.close();
    // For a status without messages, grpc-js reports only that it was written.
    if (counted.outcome === 'answered' && stream && !stream.closed && !isSent()) stream.once('close', counted.end);
    else counted.end();
  }

  grpcCall.once('cancelled', onClose);
  if (grpcCall.cancelled) onClose();

  const { call, phases, onceClosed, startWriteTimer } = counted;
  return {
    ...{ call, phases, onceClosed, startWriteTimer },
    succeed: () => trailersOf(counted.succeed()),
    fail(error) {
      const { failure, durations } = counted.fail(error);
      return withDetails(failure, trailersOf(durations));
    },
    unsendable: (error) =>
      host.logger.error({ ...logFields(context), method: name, err: error }, 'the response could not be sent'),
  };
}
