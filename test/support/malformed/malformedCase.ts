import type { RandomStream } from '../../../src/tensor/random.js';

/** A request that is invalid, unusual or random bytes, with its allowed statuses. */
export interface MalformedCase {
  readonly kind: string;
  /** A method of the service. */
  readonly method: string;
  /** The message, or the first message of a stream. */
  readonly bytes: Buffer;
  /** The later messages of a stream. */
  readonly further?: readonly Buffer[];
  /** Names of the allowed gRPC statuses of the call or of its first failed item. */
  readonly allowed: readonly string[];
}

/** Makes the n-th case of a kind. */
export type Maker = (random: RandomStream) => MalformedCase;

export const OK = ['OK'];
export const REFUSED = ['INVALID_ARGUMENT'];
export const EITHER = ['OK', 'INVALID_ARGUMENT'];
/** Statuses of requests with random changes, which may name a model, a space or a limit of the answer. */
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
