import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Requests that may wait on one connection while an earlier one is answered; a connection with more is closed. Clients that pipeline send some ten
 * at once. No budget counts what waits: of each request its header and as much of its body as Node reads unasked (64 KiB).
 */
const WAITING_REQUESTS = 32;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** A connection with a request that is being answered. */
interface Connection {
  current: Exchange;
  readonly waiting: Exchange[];
  /** What ends the connection after the last response, once something unreadable has arrived on it. */
  end?: () => void;
}

/** The requests of a listener's connections, one at a time on each. */
export interface RequestOrder {
  /** For `createServer`. */
  readonly handler: RequestListener;
  /**
   * Something unreadable has arrived on a connection: `answer` is called in its turn, after the responses to the requests before it, and has to close
   * the connection. It is not called if a response to the same request has begun, or if the connection closes before.
   * @param answer is given the response in whose place it answers, if the handler has the request
   */
  unreadable(socket: Socket, answer: (open?: ServerResponse) => void): void;
}

/**
 * Gives a handler the requests of a connection one after the other: the next one when the response to the last has been sent. Node gives it all
 * requests at once that a client pipelines (RFC 9112, section 9.3.2), and their responses wait in a queue. A response that waits there has no
 * socket, so that it emits neither `finish` nor `close` when the connection is lost, and what its request holds would never be released.
 *
 * Requests that wait when the connection closes are dropped: nothing was done for them, and clients may send them again (section 9.6).
 */
export function requestsInOrder(handler: RequestListener): RequestOrder {
  const connections = new WeakMap<Socket, Connection>();
  /** The request of each connection that the handler was given last. */
  const latest = new WeakMap<Socket, IncomingMessage>();

  function begin(socket: Socket, connection: Connection, exchange: Exchange): void {
    connection.current = exchange;
    latest.set(socket, exchange.request);
    exchange.response.once('close', () => next(socket, connection));
    handler(exchange.request, exchange.response);
  }

  function next(socket: Socket, connection: Connection): void {
    const following = socket.destroyed ? undefined : connection.waiting.shift();
    // A response without a socket was not given one by Node, which closes the connection after the last response.
    if (following?.response.socket) begin(socket, connection, following);
    else {
      connections.delete(socket);
      if (socket.writable) connection.end?.();
    }
  }

  return {
    handler(request, response) {
      const { socket } = request;
      const exchange = { request, response };
      const connection = connections.get(socket);
      if (connection === undefined) {
        const opened: Connection = { current: exchange, waiting: [] };
        connections.set(socket, opened);
        begin(socket, opened, exchange);
      } else if (connection.waiting.length < WAITING_REQUESTS) connection.waiting.push(exchange);
      else socket.destroy();
    },
    unreadable(socket, answer) {
      const connection = connections.get(socket);
      if (connection === undefined) {
        // The rest of a request that was answered before it had arrived.
        if (latest.get(socket)?.complete === false) socket.end();
        else answer();
        return;
      }
      // The parser reports every piece of what follows as unreadable too.
      if (connection.end !== undefined) return;
      const last = connection.waiting.at(-1) ?? connection.current;
      connection.end = answer;
      // What cannot be read is the rest of the last request, not one of its own.
      if (last.request.complete) return;
      if (last !== connection.current) connection.waiting.pop();
      else {
        connection.end = () => socket.end();
        if (!last.response.headersSent) answer(last.response);
      }
    },
  };
}
