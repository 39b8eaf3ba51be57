import type { Status__Output } from '../proto/generated/google/rpc/Status.js';
import type { PhaseTimes__Output } from '../proto/generated/vicregl/v1/PhaseTimes.js';
import type { ImageInput } from './image.js';
import { type Phases, readPhases } from './phases.js';
import { VicreglError } from './vicreglError.js';

/** The outcome of one image of a batch or a stream, as in Promise.allSettled. */
export type Settled<T> =
  | { readonly status: 'fulfilled'; readonly value: T }
  | { readonly status: 'rejected'; readonly reason: VicreglError };

/** One image, optionally with its own options. */
export type Item<Fields> = ImageInput | ({ readonly image: ImageInput } & Fields);

/** One image of a stream. The id is returned with the response. */
export type StreamItem<Fields> = { readonly id: string; readonly image: ImageInput } & Fields;

/** The response to one image of a stream. */
export type StreamAnswer<T> = Settled<T> & { readonly id: string; readonly phases: Phases };

/** An item's image and options; its own options take precedence over those of the call. */
export function splitItem<Fields extends object>(
  item: Item<Fields>,
  shared: Fields,
): { readonly image: ImageInput; readonly options: Fields } {
  if (typeof item === 'object' && 'image' in item) return { image: item.image, options: { ...shared, ...item } };
  return { image: item, options: shared };
}

/** The requests of a stream, built on demand. */
export async function* mapItems<T, Request>(
  items: Iterable<T> | AsyncIterable<T>,
  request: (item: T) => Request,
): AsyncGenerator<Request, void> {
  for await (const item of items) yield request(item);
}

/** Returns the response of a result, or throws its status. */
export function settled<Response, T>(
  result: { readonly response?: Response | null; readonly status?: Status__Output | null },
  read: (response: Response) => T,
): Settled<T> {
  if (result.response) return { status: 'fulfilled', value: read(result.response) };
  if (result.status) return { status: 'rejected', reason: VicreglError.fromStatus(result.status) };
  throw new VicreglError('INTERNAL', 'an item of the response has neither a response nor a status');
}

/** The responses of a stream, in order of arrival. */
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
