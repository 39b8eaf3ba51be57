import type { FastifyReply, FastifyRequest } from 'fastify';
import { ServeError } from '../call/serveError.js';
import type { SpanOutcome } from '../call/trace.js';
import type { CallIdentity } from '../dispatch/callIdentity.js';
import { type CallHost, type CountedCall, openCountedCall } from '../dispatch/countedCall.js';

/** What the listener knows of a request. */
export interface HttpRequestState {
  readonly identity: CallIdentity;
  /** When its header had arrived, as performance.now(). */
  readonly start: number;
  /** Set once a call has been opened for it, which counts and logs it, and ends its span. */
  counted: boolean;
  /** Whether the whole response was sent. Read it when the response has closed. */
  sent: boolean;
  /** The status with which the rest of the request was answered, past the response, as it could not be read. */
  unreadable?: number;
  /** How a request was refused that no call was opened for. */
  refusal?: Pick<SpanOutcome, 'code' | 'reason'>;
}

/** When a request ends. */
export interface Deadline {
  /** As Date.now(). */
  readonly at: number;
  /** The error when it has passed. @param what had not happened by then: `the request was not answered` */
  passed(what: string): ServeError;
}

/**
 * Sets `sent` when the whole response was passed to the system. `writableFinished` of Node does not tell: it is also true after the
 * connection was closed with a part of the response unsent, and so is its event `finish`.
 */
export function watchSent({ raw }: FastifyReply, state: Pick<HttpRequestState, 'sent'>): void {
  const { socket } = raw;
  raw.once('finish', () => {
    state.sent = socket?.destroyed === false;
  });
}

/** The status of a response that has closed; 499 if the caller went away before the whole response was sent. */
export const sentHttpStatus = (
  { raw }: FastifyReply,
  { sent, unreadable }: Pick<HttpRequestState, 'sent' | 'unreadable'>,
): number => unreadable ?? (sent ? raw.statusCode : 499);

/** Opens a call for a request whose body has arrived. */
export function openHttpCall(
  reply: FastifyReply,
  { ip, raw: request, call: state }: Pick<FastifyRequest, 'ip' | 'raw' | 'call'>,
  { deadline, name }: { readonly deadline: Deadline; readonly name: string },
  host: CallHost & { readonly draining: AbortSignal },
): CountedCall {
  const { raw } = reply;
  const socket = request.socket;
  let late = false;
  const counted = openCountedCall(
    {
      identity: state.identity,
      peer: `${ip}:${socket.remotePort}`,
      fields: { protocol: 'http' },
      deadline: deadline.at,
      whyLost() {
        if (late) return lateError();
        return host.draining.aborted && !socket.readableEnded
          ? new ServeError('shutting_down', 'the server was shut down before the call was answered')
          : new ServeError('cancelled', 'the caller closed the connection before the response was sent');
      },
      isSent: () => state.sent,
      httpStatus: () => sentHttpStatus(reply, state),
      reset: () => raw.destroy(),
    },
    name,
    host,
  );
  const lateError = (): ServeError => deadline.passed('the request was not answered');
  const timer = setTimeout(
    () => {
      late = true;
      counted.abort(lateError());
    },
    Math.max(0, deadline.at - Date.now()),
  );
  const onClose = (): void => {
    clearTimeout(timer);
    counted.close();
    counted.end();
  };
  // Also emitted after the last byte of the response was sent.
  raw.once('close', onClose);
  if (raw.closed || raw.destroyed) onClose();
  return counted;
}
