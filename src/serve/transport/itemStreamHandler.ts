import { type handleBidiStreamingCall, type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { Permit } from '../admission/weightedSemaphore.js';
import type { ItemMethod } from '../api/method.js';
import { type Call, timed } from '../call/call.js';
import { toStatus } from '../call/errors.js';
import { ServeError } from '../call/serveError.js';
import {
  checkAnswerSize,
  createMessageCost,
  type Definition,
  methodName,
  parseRequest,
  type RawRequest,
  unbox,
} from './codec.js';
import { type HandlerHost, type OpenCall, openCall } from './openCall.js';
import { onUnreadable } from './unreadable.js';
import { writeMessage } from './writing.js';

/**
 * grpc-js lets its streams read 16 messages ahead, whatever their size: up to a gigabyte for a caller who sends the largest.
 * One is enough to keep the decoder busy.
 */
function readOneAhead(stream: ServerDuplexStream<RawRequest, Buffer>): void {
  const state = (stream as unknown as { _readableState: { highWaterMark: number } })._readableState;
  state.highWaterMark = 1;
}

/** An answer, counted among those that callers have not taken yet. */
interface HeldAnswer {
  readonly bytes: Buffer;
  readonly permit: Permit | undefined;
}

/**
 * A gRPC handler of one method that answers every message of a stream with one of its own, on raw bytes.
 *
 * At most `streamItems` items are unanswered; while so many are, while their answers wait for a slow reader, and while items of
 * streams hold their half of `requestBytes`, no further message is read, and HTTP/2 makes the sender wait; a reader that stops
 * ends the call. What goes wrong with one item becomes its status. A message that is none ends the stream with
 * INVALID_ARGUMENT, one that is too large or has too many entries with RESOURCE_EXHAUSTED, and a shutdown with UNAVAILABLE, each after what was taken has been answered.
 */
export function itemStreamHandler<Item, Response, Answer>(
  definition: Definition<Item, Answer>,
  method: ItemMethod<Item, Response, Answer>,
  host: HandlerHost,
): handleBidiStreamingCall<RawRequest, Buffer> {
  const name = methodName(definition);
  const costOf = createMessageCost(definition, host.messageEntries);

  /** The item's answer as bytes; whatever fails is in it. */
  async function answerItem(request: RawRequest, { call, phases: ofCall }: OpenCall): Promise<HeldAnswer> {
    const phases = ofCall.forItem();
    const sub: Call = { ...call, waitsForCapacity: true, observe: phases.observe };
    const item = await timed(sub, 'receive', () => parseRequest(definition, unbox(request)));
    const encode = (make: () => Answer): Buffer =>
      checkAnswerSize(definition.responseSerialize(make()), host.maxResponseBytes);
    try {
      try {
        const response = await method.answer(item, sub);
        const encoded = await timed(sub, 'encode', () => encode(() => method.wrap(item, response, phases.seconds)));
        const permit = await host.admission.responseBytes.acquire(encoded.byteLength, call.signal);
        call.observeItem?.(status.OK);
        return { bytes: encoded, permit };
      } finally {
        phases.finish();
      }
    } catch (error) {
      const failure = toStatus(error);
      call.observeItem?.(failure.code, error, phases.seconds.has('queue'));
      return { bytes: encode(() => method.refuse(item, failure, phases.seconds)), permit: undefined };
    }
  }

  return (stream) => {
    const open = openCall(stream, name, host);
    const { signal } = open.call;
    let unanswered = 0;
    /** Whether an item waits until its bytes may be held. */
    let waitsForBytes = false;
    /** Why no more items are taken: undefined goes on, null is the caller's own end. */
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
      // A closed stream has its status already, and would throw what is emitted to nobody.
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

    /** Reads no further before the item may be held: its bytes are all that waits, and the sender waits with it. */
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

    async function take(raw: RawRequest): Promise<void> {
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
      stop(new ServeError('shutting_down', 'the server is shutting down; send the rest to another one'));
    }

    stream.on('data', (raw: RawRequest) => {
      if (stopped !== undefined) return;
      unanswered++;
      take(raw)
        .catch(stop)
        .finally(() => {
          unanswered--;
          readOn();
          finishWhenIdle();
        })
        .catch((error: unknown) => host.logger.error({ method: name, err: error }, 'the answer could not be sent'));
    });
    stream.on('end', () => {
      stopped ??= null;
      finishWhenIdle();
    });
    onUnreadable(stream.metadata, stop);
    signal.addEventListener('abort', () => stop(signal.reason), { once: true });
    host.draining.addEventListener('abort', onDraining, { once: true });
    open.onceClosed(() => host.draining.removeEventListener('abort', onDraining));
    if (signal.aborted) stop(signal.reason);
    else if (host.draining.aborted) onDraining();
  };
}
