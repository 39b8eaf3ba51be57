import type { Call } from '../call/call.js';
import type { Status } from '../call/errors.js';
import type { Phase } from '../call/phases.js';

/** One method: a decoded request to a response; whatever it throws, `toStatus` has a status for it. */
export type Method<Request, Response> = (request: Request, call: Call) => Promise<Response>;

/** An answer of several messages. */
export interface StreamedAnswer<Response> {
  /** What the answer holds in memory until the last message has been taken. */
  readonly bytes: number;
  readonly messages: Iterable<Response>;
}

/** One method that answers with several messages; errors as in `Method`. */
export type StreamedMethod<Request, Response> = (request: Request, call: Call) => Promise<StreamedAnswer<Response>>;

/** One method that answers every item of a stream. */
export interface ItemMethod<Item, Response, Answer> {
  /** Answers one item; whatever it throws becomes the item's status. */
  answer(item: Item, call: Call): Promise<Response>;
  /** The message of an answer. @param seconds how long each phase took */
  wrap(item: Item, response: Response, seconds: ReadonlyMap<Phase, number>): Answer;
  /** The message of an item that failed. */
  refuse(item: Item, status: Status, seconds: ReadonlyMap<Phase, number>): Answer;
}
