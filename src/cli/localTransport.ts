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
  return { signal: signal ?? new AbortController().signal, observe: () => {} };
}

/** The status that the socket's client would see, with all that the error says: there is no log to look into, and no stranger. */
function wholeStatus(error: unknown): Status {
  const status = toStatus(error);
  return error instanceof Error ? { ...status, details: error.message } : status;
}

/** An error as the socket's client would see it; an unexpected one shows itself. */
function shown(error: unknown): unknown {
  const status = wholeStatus(error);
  return status.reason === 'INTERNAL' ? error : Object.assign(new Error(status.details, { cause: error }), status);
}

/** Messages pass through their bytes, so that defaults and checks are those of the socket. */
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

/** The messages of a streamed answer. */
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

/** The items of a stream, one after the other: within a process there is no way for another to overtake. */
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

/** Answers a client from a service in this process. Closing the transport closes the service. */
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
