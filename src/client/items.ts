import { Readable } from 'node:stream';
import type { Status__Output } from '../proto/generated/google/rpc/Status.js';
import type { PhaseTimes__Output } from '../proto/generated/vicregl/v1/PhaseTimes.js';
import type { ImageInput } from './image.js';
import { type Phases, readPhases } from './phases.js';
import { VicreglError } from './vicreglError.js';

/** The result of one image of a batch or a stream, in the form of Promise.allSettled. */
export type Settled<T> =
  | { readonly status: 'fulfilled'; readonly value: T }
  | { readonly status: 'rejected'; readonly reason: VicreglError };

/** One image, optionally with its own options. */
export type Item<Fields> = ImageInput | ({ readonly image: ImageInput } & Fields);

/** One image of a stream. The result has the same id. */
export type StreamItem<Fields> = { readonly id: string; readonly image: ImageInput } & Fields;

/** The result of one image of a stream. */
export type StreamAnswer<T> = Settled<T> & { readonly id: string; readonly phases: Phases };

/** An item's image and options; its own options take precedence over those of the call. */
export function splitItem<Fields extends object>(
  item: Item<Fields>,
  shared: Fields,
): { readonly image: ImageInput; readonly options: Fields } {
  if (typeof item === 'object' && item !== null && 'image' in item) {
    return { image: item.image, options: withOwn<Fields>(shared, item) };
  }
  return { image: item, options: shared };
}

/** The options of a call, and over them an item's own. One that is undefined is not set. */
export function withOwn<Fields extends object>(shared: Fields, own: Fields): Fields {
  return { ...shared, ...Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)) };
}

/**
 * Builds a request of what the caller gave, who in JavaScript may give anything.
 * @throws VicreglError `INVALID_ARGUMENT` where its parts do not have the expected form
 */
export function built<Request>(build: () => Request): Request {
  try {
    return build();
  } catch (cause) {
    if (cause instanceof VicreglError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new VicreglError('INVALID_ARGUMENT', `the arguments do not make a request: ${reason}`, { cause });
  }
}

function iteratorOf<T>(items: Iterable<T> | AsyncIterable<T>): AsyncIterator<T> | Iterator<T> {
  return Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
}

/**
 * The requests of a stream, each created when it is read. Not a generator, whose `return` would wait for the next item: the call may end
 * while none comes.
 * @throws VicreglError as `built`
 */
export function mapItems<T, Request>(
  items: Iterable<T> | AsyncIterable<T>,
  request: (item: T) => Request,
): AsyncIterable<Request> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = built(() => iteratorOf(items));
      const close = async (): Promise<void> => {
        // Its own iterator would wait, being a generator.
        if (items instanceof Readable) items.destroy();
        await iterator.return?.();
      };
      return {
        async next() {
          const { done, value } = await iterator.next();
          if (done) return { done, value: undefined };
          try {
            const item = (await value) as T;
            return { done: false, value: built(() => request(item)) };
          } catch (error) {
            await close();
            throw error;
          }
        },
        async return() {
          await close();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

/** The response or the error of a result. */
export function settled<Response, T>(
  result: { readonly response?: Response | null; readonly status?: Status__Output | null },
  read: (response: Response) => T,
): Settled<T> {
  if (result.response) return { status: 'fulfilled', value: read(result.response) };
  if (result.status) return { status: 'rejected', reason: VicreglError.fromStatus(result.status) };
  throw new VicreglError('INTERNAL', 'an item of the response has neither a response nor a status');
}

/** The results of a stream as they arrive. */
export async function* streamAnswers<Response, T>(
  answers: AsyncIterable<{
    readonly id: string;
    readonly times: PhaseTimes__Output | null;
    readonly response?: Response | null;
    readonly status?: Status__Output | null;
  }>,
  read: (response: Response) => T,
): AsyncGenerator<StreamAnswer<T>, void> {
  try {
    for await (const answer of answers) {
      yield { id: answer.id, phases: readPhases(answer.times), ...settled(answer, read) };
    }
  } catch (error) {
    throw VicreglError.from(error);
  }
}
