import type { ServerResponse } from 'node:http';
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

/** The status of a response that has closed; 499 if the caller went away before the whole response was sent. */
export const sentHttpStatus = (response: Pick<ServerResponse, 'writableFinished' | 'statusCode'>): number =>
  response.writableFinished ? response.statusCode : 499;

/** Opens a call for a request whose body has arrived. */
export function openHttpCall(
  { raw }: FastifyReply,
  { ip, raw: request }: Pick<FastifyRequest, 'ip' | 'raw'>,
  { identity, deadline, name }: { readonly identity: CallIdentity; readonly deadline: Deadline; readonly name: string },
  host: CallHost & { readonly draining: AbortSignal },
): CountedCall {
  const socket = request.socket;
  let late = false;
  let sent = false;
  raw.once('finish', () => {
    // Node also emits it when the connection is closed with a part of the response unsent; `writableFinished` does not tell either.
    sent = !socket.destroyed;
  });
  const counted = openCountedCall(
    {
      identity,
      peer: `${ip}:${socket.remotePort}`,
      fields: { protocol: 'http' },
      deadline: deadline.at,
      whyLost() {
        if (late) return lateError();
        return host.draining.aborted && !socket.readableEnded
          ? new ServeError('shutting_down', 'the server was shut down before the call was answered')
          : new ServeError('cancelled', 'the caller closed the connection before the response was sent');
      },
      isSent: () => sent,
      httpStatus: () => (sent ? raw.statusCode : 499),
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
