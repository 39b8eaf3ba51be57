import type { LimitFunction } from 'p-limit';
import type { Engine } from '../../engine/engine.js';
import type { ServeContext } from '../context.js';
import type { ServeLimits } from '../limits.js';
import { createBatchQueue } from '../queue/queue.js';
import { ServeError } from '../serveError.js';
import type { FeatureStore } from '../stored/featureStore.js';

/** The models of a service by the names that requests give them. */
export interface ModelRegistry {
  /** Every model that is served; the first is the default. */
  readonly served: readonly ServeContext[];
  /**
   * Works with the model that a request names: `name`, `name@version`, or empty for the default. The model stays open
   * until the work is done, also when it is replaced meanwhile; a stream asks anew for every item.
   * @throws ServeError `unknown_model` naming what is served; else whatever the work throws.
   */
  use<T>(name: string, work: (context: ServeContext) => Promise<T>): Promise<T>;
  /** Finishes what was taken, then closes every engine. */
  close(): Promise<void>;
}

export interface RegistryOptions {
  /** The first is the default; the registry closes them. */
  readonly engines: readonly Engine[];
  readonly limits: ServeLimits;
  readonly decoding: LimitFunction;
  readonly matching: LimitFunction;
  readonly reducing: LimitFunction;
  readonly features: FeatureStore;
  /** Told the number of images of every run of an engine. */
  readonly onBatch?: (images: number) => void;
}

const label = ({ engine }: ServeContext): string => `${engine.manifest.name}@${engine.manifest.version}`;

/** @throws ServeError `invalid_argument` for two models of one name and version, or for none. */
export function createModelRegistry(options: RegistryOptions): ModelRegistry {
  const { engines, limits, decoding, matching, reducing, features, onBatch } = options;
  const served = engines.map(
    (engine): ServeContext => ({
      engine,
      queue: createBatchQueue(engine, limits, onBatch),
      limits,
      decoding,
      matching,
      reducing,
      features,
    }),
  );
  if (served.length === 0) throw new ServeError('invalid_argument', 'models: there is none to serve');
  const twice = served.find((model, i) => served.findIndex((other) => label(other) === label(model)) < i);
  if (twice) throw new ServeError('invalid_argument', `models: ${label(twice)} is given twice`);

  function find(name: string): ServeContext {
    const found =
      name === '' ? served[0] : served.find((model) => model.engine.manifest.name === name || label(model) === name);
    if (found) return found;
    throw new ServeError(
      'unknown_model',
      `model: "${name}" is not served here; use ${served.map((model) => `"${label(model)}"`).join(', ')}, a name ` +
        `without its version, or leave the field empty for ${label(served[0]!)}`,
    );
  }

  return {
    served,
    use: async (name, work) => work(find(name)),
    async close() {
      for (const { queue, engine } of served) {
        await queue.close();
        await engine.close();
      }
    },
  };
}
