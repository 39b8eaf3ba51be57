import type { LimitFunction } from 'p-limit';
import type { Engine } from '../engine/engine.js';
import type { ModelId } from '../proto/generated/vicregl/v1/ModelId.js';
import type { ServeLimits } from './limits.js';
import type { BatchQueue } from './queue/queue.js';
import { ServeError } from './serveError.js';

/** One model and what stands in front of it: what every method works with. */
export interface ServeContext {
  readonly engine: Engine;
  readonly queue: BatchQueue;
  readonly limits: ServeLimits;
  /** Bounds how many images are decoded at once. */
  readonly decoding: LimitFunction;
  /** Lets one match compute at a time: two would only take turns on one thread. */
  readonly matching: LimitFunction;
}

/**
 * Checks the model that a request names; empty is the default.
 * @throws ServeError `unknown_model` naming the model that is served.
 */
export function checkModel({ engine }: ServeContext, name: string): void {
  if (name === '' || name === engine.manifest.name) return;
  throw new ServeError(
    'unknown_model',
    `model: "${name}" is not served here; use "${engine.manifest.name}" or leave the field empty`,
  );
}

/** The model that answers, as responses name it. */
export function modelId({ engine }: ServeContext): ModelId {
  return { name: engine.manifest.name, version: engine.manifest.version };
}
