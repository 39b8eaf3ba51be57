import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Call } from '../call/call.js';
import { ServeError } from '../call/serveError.js';
import type { Durations } from '../dispatch/countedCall.js';
import { SLICE_BYTES } from '../dispatch/writeStall.js';
import { sendError } from './errorBody.js';
import type { HttpHost } from './httpHost.js';
import { type Deadline, openHttpCall } from './openHttpCall.js';
import { type HeldBody, readBody } from './readBody.js';
import type { Payload } from './responseForm.js';
import { sendSliced } from './slicedBody.js';

/** Header by which a caller shortens the deadline, in milliseconds. */
export const timeoutHeader = 'x-request-timeout-ms';

/** The durations of a call as the header `server-timing`, which browsers show. */
function serverTiming({ phases, totalMs }: Durations): string {
  const parts = [...phases].map(([phase, seconds]) => `${phase};dur=${(seconds * 1000).toFixed(3)}`);
  return [...parts, `total;dur=${totalMs.toFixed(3)}`].join(', ');
}

/** When a request ends. @throws ServeError `invalid_argument` for a header that is not a number */
function deadlineOf(request: FastifyRequest, { limits }: HttpHost): Deadline {
  const elapsed = performance.now() - request.call.start;
  const most = limits.httpDeadlineSeconds * 1000;
  const given = request.headers[timeoutHeader];
  if (given !== undefined && !/^[1-9]\d{0,8}$/.test(String(given))) {
    throw new ServeError(
      'invalid_argument',
      `${timeoutHeader}: ${JSON.stringify(String(given).slice(0, 40))} is not a whole number of milliseconds above 0`,
    );
  }
  const ms = given === undefined ? most : Math.min(most, Number(given));
  const way =
    ms === most
      ? `in ${limits.httpDeadlineSeconds} s (httpDeadlineSeconds); ask for less, or try again later`
      : `in ${ms} ms (${timeoutHeader}); allow more time`;
  return {
    at: Date.now() - elapsed + ms,
    passed: (what) => new ServeError('deadline_exceeded', `${what} ${way}`),
  };
}

/** A signal for the time in which the body arrives: the call, with its own signal, is opened after that. */
function arrival({ at, passed }: Deadline): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(passed('the body of the request did not arrive')),
    Math.max(0, at - Date.now()),
  );
  return { signal: controller.signal, end: () => clearTimeout(timer) };
}

/**
 * Reads the body of a request, opens a call for it, and sends what `work` makes of it. An error before that is thrown, an error of
 * `work` is sent.
 */
export async function answerCall(
  request: FastifyRequest,
  reply: FastifyReply,
  name: string,
  host: HttpHost,
  work: (body: HeldBody, call: Call) => Promise<Payload>,
): Promise<void> {
  const deadline = deadlineOf(request, host);
  const arriving = arrival(deadline);
  const body = await readBody(request.raw, {
    limits: host.limits,
    budget: host.admission.requestBytes,
    signal: arriving.signal,
  }).finally(arriving.end);

  host.metrics.received(name, body.bytes.byteLength);
  request.call.counted = true;
  const open = openHttpCall(reply, request, { deadline, name }, host);
  try {
    const payload = await work(body, open.call).finally(() => body.release());
    open.call.signal.throwIfAborted();
    const bytes = Buffer.byteLength(payload.body);
    const permit = host.admission.responseBytes.tryAcquire(bytes);
    open.onceClosed(() => permit.release());
    open.onceClosed(open.startWriteTimer(bytes));
    host.metrics.sent(name, bytes);
    const durations = open.succeed();
    reply.headers(payload.headers).header('server-timing', serverTiming(durations));
    if (bytes <= SLICE_BYTES) reply.send(payload.body);
    else return sendSliced(reply, payload.body, open.writeProgress);
  } catch (error) {
    const { failure, durations } = open.fail(error);
    if (!reply.raw.destroyed) sendError(reply.header('server-timing', serverTiming(durations)), failure);
  }
}
