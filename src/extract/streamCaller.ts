import type { ImageInput } from '../client/image.js';
import type { StreamAnswer } from '../client/items.js';
import type { CallOptions } from '../client/transport.js';
import { VicreglError } from '../client/vicreglError.js';
import { ExtractError } from './extractError.js';
import { backOff, isOfImage, isTransient, RETRIES } from './retry.js';

/** A stream without an answer for this long, while the service owes one, is taken for broken. */
const SILENT_MS = 300_000;
/** An image is sent this often if its own answer is a transient error. */
const ITEM_ATTEMPTS = 5;

/** Opens a stream of requests, such as `client.embedStream`. */
type OpenStream<Fields, T> = (
  items: AsyncIterable<{ readonly id: string; readonly image: ImageInput } & Fields>,
  options: CallOptions,
) => AsyncIterable<StreamAnswer<T>>;

interface Task<Fields, T> {
  readonly item: { readonly id: string; readonly image: ImageInput } & Fields;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
  attempts: number;
}

/** Sends images over one stream, which it opens again when the stream breaks. */
export interface StreamCaller<Fields, T> {
  /**
   * @throws VicreglError if the error is about this image; ExtractError `stopped` if the service does not answer any more; any
   *   other VicreglError ends all calls.
   */
  call(image: ImageInput, fields: Fields): Promise<T>;
  close(): void;
}

interface CallerOptions {
  readonly signal: AbortSignal;
  /** Receives a line when the stream breaks. */
  readonly note: (text: string) => void;
  readonly wait?: typeof backOff;
}

/**
 * Creates a caller over a stream. Images whose answers a broken stream still owes are sent again. If a stream fails because of one
 * of its messages, they are sent one at a time, so that only the one that cannot be sent fails.
 */
export function streamCaller<Fields extends object, T>(
  open: OpenStream<Fields, T>,
  { signal, note, wait = backOff }: CallerOptions,
): StreamCaller<Fields, T> {
  type Pending = Task<Fields, T>;
  const queue: Pending[] = [];
  const sent = new Map<string, Pending>();
  let wake: () => void = () => {};
  let running = false;
  let closed = false;
  let ids = 0;
  /** Images that may be unanswered; 1 to find the one that breaks the stream. */
  let unanswered = Number.POSITIVE_INFINITY;
  /** Failures of the stream since the last answer that was more than a refusal for the moment. */
  let failures = 0;
  /** What has ended all calls. */
  let ending: { readonly error: unknown } | undefined;

  async function* feed(ended: () => boolean) {
    while (!ended() && !closed) {
      const task = sent.size < unanswered ? queue.shift() : undefined;
      if (task === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      sent.set(task.item.id, task);
      yield task.item;
    }
  }

  const settle = async (answer: StreamAnswer<T>): Promise<void> => {
    const task = sent.get(answer.id);
    if (task === undefined) return;
    sent.delete(answer.id);
    if (answer.status === 'fulfilled' || !isTransient(answer.reason)) failures = 0;
    if (answer.status === 'fulfilled') {
      task.resolve(answer.value);
    } else if (isTransient(answer.reason) && ++task.attempts < ITEM_ATTEMPTS) {
      await wait(task.attempts, answer.reason, signal);
      queue.push(task);
    } else if (isOfImage(answer.reason)) {
      task.reject(answer.reason);
    } else {
      // Reads no further: every other image would get the same answer.
      sent.set(answer.id, task);
      throw answer.reason;
    }
    if (sent.size === 0 && queue.length === 0) unanswered = Number.POSITIVE_INFINITY;
    wake();
  };

  const rejectAll = (error: unknown): void => {
    ending = { error };
    for (const task of [...sent.values(), ...queue]) task.reject(error);
    sent.clear();
    queue.length = 0;
  };

  /** One stream, until it ends. */
  const stream = async (): Promise<void> => {
    const silence = new AbortController();
    let ended = false;
    const watch = () => setTimeout(() => silence.abort(), SILENT_MS).unref();
    let timer = watch();
    try {
      const answers = open(
        feed(() => ended),
        { signal: AbortSignal.any([signal, silence.signal]) },
      );
      for await (const answer of answers) {
        clearTimeout(timer);
        await settle(answer);
        timer = watch();
      }
      if (!closed) throw new VicreglError('UNAVAILABLE', 'the service ended the stream');
    } catch (error) {
      if (silence.signal.aborted) {
        throw new VicreglError('UNAVAILABLE', `no answer for ${SILENT_MS / 1000} s`, { cause: error });
      }
      throw error;
    } finally {
      clearTimeout(timer);
      ended = true;
      wake();
    }
  };

  /** Opens streams, as long as there is something to send. */
  const runStreams = async (): Promise<void> => {
    while (!closed && (queue.length > 0 || sent.size > 0)) {
      try {
        await stream();
      } catch (caught) {
        const error = VicreglError.from(caught);
        if (signal.aborted) return rejectAll(new ExtractError('stopped', 'stopped by a signal', { cause: error }));
        const owed = [...sent.values()];
        sent.clear();
        if (!isTransient(error)) {
          if (!isOfImage(error) || owed.length === 0) {
            queue.unshift(...owed);
            return rejectAll(error);
          }
          if (owed.length === 1) owed.shift()!.reject(error);
          unanswered = 1;
          queue.unshift(...owed);
          continue;
        }
        queue.unshift(...owed);
        if (++failures > RETRIES) {
          const text = `the service does not answer any more (${error.code}: ${error.message}), after ${RETRIES} attempts`;
          return rejectAll(new ExtractError('stopped', text, { cause: error }));
        }
        note(`the stream broke (${error.code}: ${error.message}); attempt ${failures} of ${RETRIES} to continue`);
        await wait(failures, error, signal).catch(() => undefined);
      }
    }
  };

  const start = (): void => {
    if (running) return;
    running = true;
    void runStreams()
      .catch(rejectAll)
      .finally(() => {
        running = false;
        // A call may have come after the last look at the queue.
        if (!closed && ending === undefined && queue.length > 0) start();
      });
  };

  return {
    call: (image, fields) =>
      new Promise<T>((resolve, reject) => {
        if (ending !== undefined) {
          reject(ending.error);
          return;
        }
        queue.push({ item: { ...fields, id: String(ids++), image }, resolve, reject, attempts: 0 });
        wake();
        start();
      }),
    close() {
      closed = true;
      wake();
    },
  };
}
