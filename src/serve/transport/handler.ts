import { type handleUnaryCall, Metadata, type ServerUnaryCall, status } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { encodeStatusDetails, statusDetailsKey } from '../../proto/statusDetails.js';
import { type Call, timed } from '../call.js';
import { toStatus } from '../errors.js';
import type { Metrics } from '../monitoring/metrics.js';
import { ServeError } from '../serveError.js';
import type { Method } from '../service.js';
import type { InFlight } from './inFlight.js';
import type { RequestBudget } from './requestBudget.js';

/** The part of a generated method definition that a handler needs. */
interface Definition<Request, Response> {
  readonly path: string;
  requestDeserialize(bytes: Buffer): Request;
  responseSerialize(response: Response): Buffer;
}

/** The bytes of a message, in a box that can be emptied: grpc-js keeps what it delivered until the call ends. */
export interface RawRequest {
  bytes: Buffer | undefined;
}

/** What every handler shares. */
export interface HandlerHost {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly maxResponseBytes: number;
  readonly budget: Pick<RequestBudget, 'take'>;
  /** Told of every call's begin and of its end (answer sent), so that a shutdown can wait for them. */
  readonly inFlight: Pick<InFlight, 'begin' | 'end'>;
}

/** Why a call was cancelled: grpc-js tells only that it was. */
function cancellation(call: ServerUnaryCall<RawRequest, Buffer>): ServeError {
  const deadline = Number(call.getDeadline());
  return Date.now() >= deadline
    ? new ServeError('deadline_exceeded', 'the deadline of the call passed before it was answered')
    : new ServeError('cancelled', 'the caller gave up');
}

/**
 * A gRPC handler of one method, on raw bytes: messages are (de)serialised here, since grpc-js answers a malformed
 * message with INTERNAL, and one over its send limit without a way out. Whatever goes wrong becomes a status, is counted
 * and is logged; nothing escapes to the process.
 */
export function unaryHandler<Request, Response>(
  definition: Definition<Request, Response>,
  method: Method<Request, Response>,
  host: HandlerHost,
): handleUnaryCall<RawRequest, Buffer> {
  const name = definition.path.split('/').at(-1)!;

  function parse(bytes: Buffer): Request {
    try {
      return definition.requestDeserialize(bytes);
    } catch (cause) {
      throw new ServeError('invalid_argument', `the message is not a valid ${name} request: ${String(cause)}`, {
        cause,
      });
    }
  }

  function checkSize(bytes: Buffer): Buffer {
    if (bytes.byteLength <= host.maxResponseBytes) return bytes;
    throw new ServeError(
      'too_large',
      `the answer of ${bytes.byteLength} bytes is over the server's limit of ${host.maxResponseBytes}; ` +
        'ask for dtype float16, or a smaller size (resize)',
    );
  }

  /** Empties the box: from here on the method alone holds the request, and drops images as it decodes them. */
  function open(request: RawRequest): Request {
    const bytes = request.bytes ?? Buffer.alloc(0);
    request.bytes = undefined;
    return parse(bytes);
  }

  async function answer(request: RawRequest, call: Call): Promise<Buffer> {
    const giveBack = host.budget.take(request.bytes?.byteLength ?? 0);
    try {
      const response = await method(open(request), call);
      call.signal.throwIfAborted();
      return await timed(call, 'encode', () => checkSize(definition.responseSerialize(response)));
    } finally {
      giveBack();
    }
  }

  return (grpcCall, callback) => {
    const start = performance.now();
    const cancelled = new AbortController();
    let answered = false;
    let ended = false;
    const end = (): void => {
      if (!ended) host.inFlight.end();
      ended = true;
    };
    // grpc-js emits this whenever the stream closes: before the answer the caller gave up, after it all has been sent.
    const onClose = (): void => {
      if (answered) end();
      else cancelled.abort(cancellation(grpcCall));
    };
    grpcCall.once('cancelled', onClose);
    const call: Call = {
      signal: cancelled.signal,
      observe: (phase, seconds) => host.metrics.phase(name, phase, seconds),
    };
    host.inFlight.begin();
    host.metrics.requestStarted(name);
    if (grpcCall.cancelled) onClose();

    const finish = (code: status, details: string, error?: unknown): void => {
      const seconds = (performance.now() - start) / 1000;
      host.metrics.requestFinished(name, status[code], seconds);
      const line = { method: name, code: status[code], ms: Math.round(seconds * 1000), peer: grpcCall.getPeer() };
      if (code === status.OK) host.logger.debug(line, 'answered');
      else if (code === status.INTERNAL) host.logger.error({ ...line, err: error }, details);
      else host.logger.info(line, details);
      answered = true;
      if (grpcCall.cancelled) end();
    };

    answer(grpcCall.request, call)
      .then(
        (response) => {
          finish(status.OK, '');
          callback(null, response);
        },
        (error: unknown) => {
          const failure = toStatus(error);
          const { code, details } = failure;
          finish(code, details, error);
          const metadata = new Metadata();
          metadata.set(statusDetailsKey, encodeStatusDetails(failure));
          callback({ code, details, metadata });
        },
      )
      // Only answering itself can still fail here; an unhandled rejection would end the process.
      .catch((error: unknown) => host.logger.error({ method: name, err: error }, 'the answer could not be sent'));
  };
}
