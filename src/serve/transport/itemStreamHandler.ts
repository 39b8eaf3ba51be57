import { type handleBidiStreamingCall, status } from '@grpc/grpc-js';
import { statusName } from '../../proto/status.js';
import type { Permit } from '../admission/weightedSemaphore.js';
import type { ItemMethod } from '../api/method.js';
import { type Call, timed } from '../call/call.js';
import { type Status, toStatus } from '../call/errors.js';
import { ServeError } from '../call/serveError.js';
import {
  checkAnswerSize,
  createMessageCost,
  type Definition,
  methodName,
  parseRequest,
  type RawRequest,
  unbox,
} from '../dispatch/codec.js';
import { writeMessage } from '../dispatch/writeStall.js';
import { callContext } from './callContext.js';
import { readOneAhead } from './grpcInternals.js';
import { type HandlerHost, type OpenCall, openCall } from './openCall.js';

/** An encoded response, whose bytes are held until the caller has received it. */
interface HeldAnswer {
  readonly bytes: Buffer;
  readonly permit: Permit | undefined;
}

/**
 * A gRPC handler, on raw bytes, for methods that answer each message of a stream with one message.
 *
 * Backpressure: at most `streamItems` items are unanswered. No further message is read while that limit is reached, while responses
 * wait for a slow reader, or while stream items hold their half of `requestBytes`; HTTP/2 then blocks the sender. If the reader
 * stops, the call is ended.
 *
 * Errors: the failure of one item becomes the item's status. The stream ends with INVALID_ARGUMENT for invalid messages,
 * with RESOURCE_EXHAUSTED for a message that is too large or has too many entries, and with UNAVAILABLE at a shutdown. In each case
 * the earlier items are answered first.
 */
export function itemStreamHandler<Item, Response, Answer>(
  definition: Definition<Item, Answer>,
  method: ItemMethod<Item, Response, Answer>,
  host: HandlerHost,
): handleBidiStreamingCall<RawRequest, Buffer> {
  const name = methodName(definition);
  const costOf = createMessageCost(definition, host.messageEntries);

  /** The encoded response of an item; an error is encoded as the item's status. */
  async function answerItem(request: RawRequest, { call, phases: ofCall }: OpenCall): Promise<HeldAnswer> {
    const span = call.trace?.item();
    const phases = ofCall.forItem(span);
    const sub: Call = { ...call, waitsForCapacity: true, observe: phases.observe, ...(span && { trace: span }) };
    const encode = (make: () => Answer): Buffer => checkAnswerSize(definition.responseSerialize(make()), host);
    let failure: Status | undefined;
    try {
      // A message that cannot be parsed ends the stream, so it is outside of the inner block, whose errors are the item's.
      const item = await timed(sub, 'receive', () => parseRequest(definition, unbox(request)));
      try {
        const response = await method.answer(item, sub);
        const encoded = await timed(sub, 'encode', () => encode(() => method.wrap(item, response, phases.seconds)));
        const permit = await host.admission.responseBytes.acquire(encoded.byteLength, call.signal);
        call.observeItem?.(status.OK);
        return { bytes: encoded, permit };
      } catch (error) {
        failure = toStatus(error);
        call.observeItem?.(failure.code, error, phases.seconds.has('queue'));
        return { bytes: encode(() => method.refuse(item, failure!, phases.seconds)), permit: undefined };
      }
    } catch (error) {
      failure ??= toStatus(error);
      throw error;
    } finally {
      phases.finish();
      span?.end({ code: statusName(failure?.code ?? status.OK), reason: failure?.reason });
    }
  }

  return (stream) => {
    const open = openCall(stream, name, host);
    const { signal } = open.call;
    let unanswered = 0;
    /** Whether an item waits for a permit for its bytes. */
    let waitsForBytes = false;
    /** Why no more items are accepted: undefined while they are, null when the caller has ended the stream. */
    let stopped: unknown;
    let over = false;
    readOneAhead(stream);

    function finishWhenIdle(): void {
      if (over || stopped === undefined || unanswered > 0) return;
      over = true;
      if (stopped === null) {
        stream.end(open.succeed());
        return;
      }
      const failure = open.fail(stopped);
      // A closed stream already has its status, and an error without a listener would be thrown.
      if (!stream.cancelled) stream.emit('error', failure);
    }

    function stop(reason: unknown): void {
      stopped ??= reason;
      stream.pause();
      finishWhenIdle();
    }

    function readOn(): void {
      if (stopped === undefined && !waitsForBytes && unanswered < host.streamItems) stream.resume();
    }

    /** Waits for a permit for the item's bytes. The stream is not read during the wait, so the sender waits too. */
    async function hold(raw: RawRequest): Promise<Permit> {
      const cost = costOf(raw);
      waitsForBytes = true;
      stream.pause();
      try {
        return await host.admission.requestBytes.acquire(cost, signal);
      } finally {
        waitsForBytes = false;
        readOn();
      }
    }

    async function answer(raw: RawRequest): Promise<void> {
      const requestPermit = await hold(raw);
      const { bytes, permit } = await answerItem(raw, open).finally(() => requestPermit.release());
      try {
        await writeMessage(stream, bytes, open);
      } finally {
        permit?.release();
      }
    }

    function onDraining(): void {
      if (stopped !== undefined) return;
      stop(new ServeError('shutting_down', 'the server is shutting down; send the remaining items to another one'));
    }

    stream.on('data', (raw: RawRequest) => {
      if (stopped !== undefined) return;
      unanswered++;
      answer(raw)
        .catch(stop)
        .finally(() => {
          unanswered--;
          readOn();
          finishWhenIdle();
        })
        .catch(open.unsendable);
    });
    stream.on('end', () => {
      stopped ??= null;
      finishWhenIdle();
    });
    const context = callContext(stream.metadata);
    if (context) context.onMessageError = stop;
    signal.addEventListener('abort', () => stop(signal.reason), { once: true });
    host.draining.addEventListener('abort', onDraining, { once: true });
    open.onceClosed(() => host.draining.removeEventListener('abort', onDraining));
    if (signal.aborted) stop(signal.reason);
    else if (host.draining.aborted) onDraining();
  };
}
