import { createRequire } from 'node:module';
import { InterceptingCall, type Interceptor, type Metadata } from '@grpc/grpc-js';
import type * as OpenTelemetryApi from '@opentelemetry/api';

/** Where every copy of OpenTelemetry's API of this major version registers what the application gives it. */
const REGISTRY = Symbol.for('opentelemetry.js.api.1');

/**
 * OpenTelemetry's API, an optional peer of this package; undefined if the application has not registered anything with it. It is loaded
 * only then, so that a client without traces pays nothing.
 */
function loadApi(): typeof OpenTelemetryApi | undefined {
  if (!(REGISTRY in globalThis)) return undefined;
  try {
    return createRequire(import.meta.url)('@opentelemetry/api') as typeof OpenTelemetryApi;
  } catch {
    return undefined;
  }
}

/**
 * Sends the active trace context of the application with each call, by the propagator that it has registered with OpenTelemetry's API
 * (`traceparent` and `tracestate` of W3C by default).
 */
export function traceContextInterceptor(): Interceptor {
  let api: typeof OpenTelemetryApi | undefined;
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        // The application may register after the client was created.
        api ??= loadApi();
        try {
          api?.propagation.inject<Metadata>(api.context.active(), metadata, {
            set: (carrier, key, value) => carrier.set(key, value),
          });
        } catch {
          // A propagator of the application that cannot write its values must not fail the call.
        }
        next(metadata, listener);
      },
    });
}
