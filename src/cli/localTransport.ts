import { setMaxListeners } from 'node:events';
import {
  type AnyCall,
  type DuplexStream,
  methodCalls,
  type ServerStream,
  type Transport,
  type Unary,
} from '../client/transport.js';
import { loadVicreglService } from '../proto/load.js';
import type { AnyDefinition } from '../proto/methods.js';
import { type ItemMethod, type Method, mapHandlers, type StreamedMethod } from '../serve/api/method.js';
import type { Service } from '../serve/api/service.js';
import type { Call } from '../serve/call/call.js';
import { type Status, toStatus } from '../serve/call/errors.js';
import { createPhaseRecorder } from '../serve/call/phases.js';
import { defaultServeLimits } from '../serve/config/serveLimits.js';

function callOf(signal: AbortSignal | undefined): Call {
  const own = signal ?? new AbortController().signal;
  // Everything that waits for the call listens to it, such as each image of a batch and each tile.
  setMaxListeners(0, own);
  return { signal: own, observe: () => {} };
}

/** The status that a client would get over a socket, but with the whole message: there is no log here, and no stranger. */
function wholeStatus(error: unknown): Status {
  const status = toStatus(error);
  return error instanceof Error ? { ...status, details: error.message } : status;
}

/** The error that a client would get over a socket; an unexpected error is returned as it is. */
function shown(error: unknown): unknown {
  const status = wholeStatus(error);
  return status.reason === 'INTERNAL' ? error : Object.assign(new Error(status.details, { cause: error }), status);
}

/** Messages are serialised and parsed, so that defaults and checks are the same as over a socket. */
function unary(definition: AnyDefinition, method: Method<unknown, unknown>): Unary<unknown, unknown> {
  return async (request, { signal }) => {
    try {
      const response = await method(
        definition.requestDeserialize(definition.requestSerialize(request)),
        callOf(signal),
      );
      return definition.responseDeserialize(definition.responseSerialize(response));
    } catch (error) {
      throw shown(error);
    }
  };
}

/** A method with several responses. */
function streamed(definition: AnyDefinition, method: StreamedMethod<unknown, unknown>): ServerStream<unknown, unknown> {
  return async function* (request, { signal }) {
    try {
      const { messages } = await method(
        definition.requestDeserialize(definition.requestSerialize(request)),
        callOf(signal),
      );
      for (const message of messages) yield definition.responseDeserialize(definition.responseSerialize(message));
    } catch (error) {
      throw shown(error);
    }
  };
}

/** A stream of items, handled one after the other. */
function itemised(
  definition: AnyDefinition,
  method: ItemMethod<unknown, unknown, unknown>,
): DuplexStream<unknown, unknown> {
  return async function* (requests, { signal }) {
    for await (const request of requests) {
      const item = definition.requestDeserialize(definition.requestSerialize(request));
      const { seconds, observe } = createPhaseRecorder(() => {});
      const call = { ...callOf(signal), observe };
      const answer = await method.answer(item, call).then(
        (response) => method.wrap(item, response, seconds),
        (error: unknown) => method.refuse(item, wholeStatus(error), seconds),
      );
      signal?.throwIfAborted();
      yield definition.responseDeserialize(definition.responseSerialize(answer));
    }
  };
}

/** A transport to a service in this process. Closing the transport closes the service. */
export function createLocalTransport(service: Service): Transport {
  return {
    ...methodCalls(
      mapHandlers<AnyCall>(loadVicreglService().service, service.methods, {
        unary,
        serverStream: streamed,
        itemStream: itemised,
      }),
    ),
    maxResponseBytes: defaultServeLimits.maxResponseBytes,
    waitForReady: async () => {},
    close: () => service.close(),
  };
}
