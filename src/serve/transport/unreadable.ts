import type { Metadata } from '@grpc/grpc-js';

/** By the call's own metadata object, as `callFacts`. */
const listeners = new WeakMap<Metadata, (error: Error) => void>();

/** Has a handler of streams told of a message that cannot be read, so that it ends the stream when what it took is answered. */
export function onUnreadable(metadata: Metadata, listener: (error: Error) => void): void {
  listeners.set(metadata, listener);
}

/** @returns whether a handler was told, and ends the call itself */
export function tellUnreadable(metadata: Metadata | undefined, error: Error): boolean {
  const listener = metadata && listeners.get(metadata);
  listener?.(error);
  return listener !== undefined;
}
