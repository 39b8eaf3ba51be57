import type { RandomStream } from '../../../src/tensor/random.js';

/** A request that is wrong, odd or garbage, with the statuses that may answer it. */
export interface MalformedCase {
  readonly kind: string;
  /** A method of the service. */
  readonly method: string;
  /** The message; of a stream, the first one. */
  readonly bytes: Buffer;
  /** The messages of a stream behind the first. */
  readonly further?: readonly Buffer[];
  /** Names of the gRPC statuses that are right: of the call, or of the first item that failed. */
  readonly allowed: readonly string[];
}

/** Makes the n-th case of a kind. */
export type Maker = (random: RandomStream) => MalformedCase;

export const OK = ['OK'];
export const REFUSED = ['INVALID_ARGUMENT'];
export const EITHER = ['OK', 'INVALID_ARGUMENT'];
/** Bytes changed at random may name a model, a space or a limit on the answer. */
export const ANY_REFUSAL = ['OK', 'INVALID_ARGUMENT', 'NOT_FOUND', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION'];

export const pick = <T>(random: RandomStream, list: readonly T[]): T => list[random.integer(list.length)]!;

export function bytesOf(random: RandomStream, length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, () => random.integer(256)));
}

/** A copy with some bytes changed. */
export function damaged(bytes: Buffer, random: RandomStream): Buffer {
  const copy = Buffer.from(bytes);
  for (let i = 0; i <= random.integer(8); i++) copy[random.integer(copy.length)] = random.integer(256);
  return copy;
}
