import type { Engine } from '../../engine/engine.js';
import type { ServeLimits } from '../config/serveLimits.js';
import { type ByteBudget, createByteBudget } from './byteBudget.js';
import { type ConcurrencyGate, createConcurrencyGate } from './concurrencyGate.js';

/**
 * The bounded resources that all calls of a service share. (In addition, each model's queue bounds its own images, see BatchQueue.)
 *
 * To prevent deadlocks, every call acquires in one order: bytes of its request, a place in a model's queue, bytes of its maps,
 * bytes of its response. Work that runs in a gate acquires nothing.
 */
export interface Admission {
  /** Bytes of the requests in progress. */
  readonly requestBytes: ByteBudget;
  /** Bytes of the responses that callers have not received yet. */
  readonly responseBytes: ByteBudget;
  /** Bytes of the maps that are, or will be, pooled or reduced, and of sent features that are read for a match. */
  readonly mapBytes: ByteBudget;
  /** Images and masks being decoded. */
  readonly decoding: ConcurrencyGate;
  /** Matches being computed: as many as the largest model has workers, since more would not be faster. */
  readonly matching: ConcurrencyGate;
  /** Poolings and PCAs being computed: one at a time, since the largest ones take seconds of a core. */
  readonly reducing: ConcurrencyGate;
}

export type AdmissionLimits = Pick<
  ServeLimits,
  | 'requestBytes'
  | 'responseBytes'
  | 'mapBytes'
  | 'decodeConcurrency'
  | 'queueImages'
  | 'queueMatches'
  | 'queueReductions'
>;

/** @param engines of the models that are served */
export function createAdmission(limits: AdmissionLimits, engines: readonly Pick<Engine, 'status'>[]): Admission {
  const queueLimit = (name: 'queueImages' | 'queueMatches' | 'queueReductions') => ({ name, value: limits[name] });
  return {
    requestBytes: createByteBudget('requestBytes', limits.requestBytes),
    responseBytes: createByteBudget('responseBytes', limits.responseBytes),
    mapBytes: createByteBudget('mapBytes', limits.mapBytes),
    decoding: createConcurrencyGate({
      concurrency: limits.decodeConcurrency,
      queueLimit: queueLimit('queueImages'),
      waiting: 'images and masks wait to be decoded',
    }),
    matching: createConcurrencyGate({
      concurrency: Math.max(1, ...engines.map(({ status }) => status.workers.length)),
      queueLimit: queueLimit('queueMatches'),
      waiting: 'matches wait to be computed',
    }),
    reducing: createConcurrencyGate({
      concurrency: 1,
      queueLimit: queueLimit('queueReductions'),
      waiting: 'poolings and PCAs wait to be computed',
    }),
  };
}
