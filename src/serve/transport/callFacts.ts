import type { Metadata } from '@grpc/grpc-js';

/** What interceptors find out about a call before its handler sees it. */
export interface CallFacts {
  /** Names the call in every line of the log and in the trailing metadata. */
  requestId: string;
  /** Name of the token's holder, where tokens are asked for. */
  caller?: string;
}

/** By the call's own metadata object: what a caller sends cannot pass for it. */
const facts = new WeakMap<Metadata, CallFacts>();

export function setCallFacts(metadata: Metadata, found: CallFacts): void {
  facts.set(metadata, found);
}

/** The facts of a call; nothing for a call that no interceptor has seen. */
export function callFacts(metadata: Metadata): CallFacts | undefined {
  return facts.get(metadata);
}
