import type { Engine } from '../../engine/engine.js';
import { quoted } from '../call/quoted.js';
import { ServeError } from '../call/serveError.js';
import type { RunSpan } from '../call/trace.js';
import type { ServeLimits } from '../config/serveLimits.js';
import { type BatchQueue, createBatchQueue, type QueueObserver } from './batchQueue.js';
import { limitsForModel } from './inputSizes.js';
import { type ScopedQueue, withScopedQueue } from './scopedQueue.js';
import { warmEngine } from './warmUp.js';

/** A model, and how to reopen it. */
export interface ModelSource {
  /** Closed by the registry. */
  readonly engine: Engine;
  /** Verifies the current model folder and starts an engine on it; absent if the model cannot be reloaded. */
  readonly reopen?: () => Promise<Engine>;
}

/** A served model. */
export interface ServedModel {
  readonly engine: Engine;
  /** In front of the engine. */
  readonly queue: BatchQueue;
  /** The limits of this model. */
  readonly limits: ServeLimits;
}

/** A model in use by one call. */
export interface LentModel extends Omit<ServedModel, 'queue'> {
  /** Releases the places that the call reserves and does not use. */
  readonly queue: ScopedQueue;
}

/** The models of a service by the names that requests give them. */
export interface ModelRegistry {
  /** All served models; the first is the default. */
  readonly served: readonly ServedModel[];
  /** The error that rejects any image while the queues of all models are full; otherwise undefined. */
  readonly full: ServeError | undefined;
  /**
   * Works with the model that a request names: `name`, `name@version`, or empty for the default. The model stays open until the
   * work is done, even if it is replaced in the meantime; a stream looks it up for every item.
   * @throws ServeError `unknown_model` listing the served models; otherwise the error of the work.
   */
  use<T>(name: string, work: (model: LentModel) => Promise<T>): Promise<T>;
  /**
   * Replaces a model by the current contents of its folder: verifies them, starts and warms up new workers, and sends new requests
   * to these. The old workers are closed when their requests are answered; until then both are in memory. On failure the old model
   * stays.
   * @returns `name@version` of the old and of the new model, once the new one is served
   * @throws ServeError `unknown_model`, or `invalid_argument` if the model cannot be reloaded or its new name is already served;
   *   ModelFolderError or EngineError if the new model fails to open or to warm up.
   * @param reopen opens the new model, now and at later reloads; default: as the model was opened before
   */
  reload(name: string, reopen?: ModelSource['reopen']): Promise<{ readonly from: string; readonly to: string }>;
  /**
   * Serves one more model, after the others, once it is warmed up.
   * @returns its `name@version`
   * @throws ServeError `invalid_argument` if this is already served; ModelFolderError or EngineError if it fails to open or to warm up.
   */
  add(open: () => Promise<Engine>): Promise<string>;
  /**
   * Serves a model no longer: requests cannot name it any more, and its engine is closed when the running ones are answered.
   * @throws ServeError `unknown_model`, or `invalid_argument` for the default model.
   */
  remove(name: string): void;
  /** Calls the listener when `served` has changed. @returns removes the listener */
  watch(listener: () => void): () => void;
  /** Finishes accepted requests, then closes every engine. */
  close(): Promise<void>;
  /** Aborts what `close` waits for: every run fails as unavailable. */
  terminate(): void;
}

export interface RegistryOptions {
  /** The first is the default. */
  readonly models: readonly ModelSource[];
  readonly limits: ServeLimits;
  /** Called with the engine of a replaced model when the last request that uses it is answered, before it is closed. */
  readonly onRetired?: (engine: Engine) => void;
  /** Notified of every run. */
  readonly observer?: ModelObserver | undefined;
}

/** Observes the queues of all models. */
export interface ModelObserver extends Pick<QueueObserver, 'batch'> {
  /** As that of QueueObserver. @param model `name@version` */
  run?(calls: Parameters<NonNullable<QueueObserver['run']>>[0], model: string): RunSpan | undefined;
}

/** A model, until it is replaced and the last request that uses it is answered. */
interface Entry {
  readonly model: ServedModel;
  readonly reopen: ModelSource['reopen'];
  /** Number of requests that use it. */
  users: number;
  reloading?: Promise<{ readonly from: string; readonly to: string }>;
  /** Called when the last request that uses a replaced model is answered. */
  onUnused?: () => void;
}

/** `name@version`, by which requests name exactly one model. */
export const modelLabel = ({ engine }: { readonly engine: Pick<Engine, 'manifest'> }): string =>
  `${engine.manifest.name}@${engine.manifest.version}`;

/** @throws ServeError `invalid_argument` for no model, or for two models with the same name and version. */
export function createModelRegistry(options: RegistryOptions): ModelRegistry {
  const { models, limits, onRetired, observer } = options;
  const listeners = new Set<() => void>();
  let terminate = (): void => {};
  const terminated = new Promise<void>((resolve) => {
    terminate = resolve;
  });
  const retiring = new Map<Entry, Promise<void>>();
  let closed = false;
  const entries = models.map((model) => entryOf(model.engine, model.reopen));

  function entryOf(engine: Engine, reopen: ModelSource['reopen']): Entry {
    const model = modelLabel({ engine });
    const queue = createBatchQueue(engine, limits, {
      batch: (images) => observer?.batch?.(images),
      run: (calls) => observer?.run?.(calls, model),
    });
    return { model: { engine, queue, limits: limitsForModel(limits, engine.manifest) }, reopen, users: 0 };
  }

  const labels = (): string[] => entries.map(({ model }) => modelLabel(model));

  if (entries.length === 0) throw new ServeError('invalid_argument', 'models: no model is given; give at least one');
  const twice = labels().find((label, i, all) => all.indexOf(label) < i);
  if (twice !== undefined) throw new ServeError('invalid_argument', `models: ${twice} is given twice`);

  function find(name: string): Entry {
    const named = ({ model }: Entry) => model.engine.manifest.name === name || modelLabel(model) === name;
    const found = name === '' ? entries[0] : entries.find(named);
    if (found) return found;
    throw new ServeError(
      'unknown_model',
      `model: ${quoted(name)} is not served here; use ${labels()
        .map((label) => `"${label}"`)
        .join(', ')}, a name without its version, or leave the field empty for ${labels()[0]}`,
    );
  }

  async function retire(entry: Entry): Promise<void> {
    if (entry.users > 0) {
      await new Promise<void>((resolve) => {
        entry.onUnused = resolve;
      });
    }
    onRetired?.(entry.model.engine);
    await entry.model.queue.close();
    await entry.model.engine.close();
  }

  /**
   * Opens and warms up an engine, then serves it.
   * @param check throws for a model that may not be served. Called before the warm-up, which may take minutes, and again after it, since
   *   models may have been added and removed in the meantime.
   * @param serve called at once after the second check, so that nothing can change between the two
   */
  async function openWarm(
    open: () => Promise<Engine>,
    check: (label: string) => void,
    serve: (engine: Engine) => void,
  ): Promise<Engine> {
    const engine = await open();
    try {
      check(modelLabel({ engine }));
      await warmEngine(engine, limits);
      if (closed) throw new ServeError('shutting_down', 'the server is shutting down');
      check(modelLabel({ engine }));
      serve(engine);
      return engine;
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  /** Closes the engine of an entry that is no longer served, when its last request is answered. */
  function retireLater(old: Entry): void {
    const retired = retire(old).finally(() => retiring.delete(old));
    retiring.set(old, retired);
    for (const listener of listeners) listener();
  }

  async function replace(old: Entry, reopen = old.reopen): Promise<{ readonly from: string; readonly to: string }> {
    const from = modelLabel(old.model);
    if (reopen === undefined) throw new ServeError('invalid_argument', `model: ${from} cannot be reloaded`);
    const engine = await openWarm(
      reopen,
      (label) => {
        if (!entries.includes(old)) {
          throw new ServeError('invalid_argument', `model: ${from} was removed while it was reloaded`);
        }
        if (!entries.some((entry) => entry !== old && modelLabel(entry.model) === label)) return;
        throw new ServeError(
          'invalid_argument',
          `model: the folder of ${from} now holds ${label}, which is served already`,
        );
      },
      (opened) => {
        entries[entries.indexOf(old)] = entryOf(opened, reopen);
      },
    );
    retireLater(old);
    return { from, to: modelLabel({ engine }) };
  }

  /** Models that are being added or reloaded, also if they were removed since, for which a close has to wait. */
  const opening = new Set<Promise<unknown>>();

  function whileOpening<T>(work: Promise<T>): Promise<T> {
    opening.add(work);
    return work.finally(() => opening.delete(work));
  }

  async function addModel(open: () => Promise<Engine>): Promise<string> {
    const engine = await openWarm(
      open,
      (label) => {
        if (labels().includes(label)) throw new ServeError('invalid_argument', `model: ${label} is served already`);
      },
      (opened) => {
        entries.push(entryOf(opened, open));
      },
    );
    for (const listener of listeners) listener();
    return modelLabel({ engine });
  }

  return {
    get served() {
      return entries.map(({ model }) => model);
    },
    get full() {
      let first: ServeError | undefined;
      for (const { model } of entries) {
        const { full } = model.queue;
        if (full === undefined) return undefined;
        first ??= full;
      }
      return first;
    },
    async use(name, work) {
      const entry = find(name);
      entry.users++;
      try {
        const { model } = entry;
        return await withScopedQueue(model.queue, (queue) => work({ ...model, queue }));
      } finally {
        entry.users--;
        if (entry.users === 0) entry.onUnused?.();
      }
    },
    async reload(name, reopen) {
      const entry = find(name);
      // Concurrent reloads of a model share one reload.
      entry.reloading ??= whileOpening(replace(entry, reopen)).finally(() => {
        delete entry.reloading;
      });
      return entry.reloading;
    },
    add: (open) => whileOpening(addModel(open)),
    remove(name) {
      const entry = find(name);
      if (entry === entries[0]) {
        throw new ServeError('invalid_argument', `model: ${modelLabel(entry.model)} is the default model and stays`);
      }
      entries.splice(entries.indexOf(entry), 1);
      retireLater(entry);
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      closed = true;
      // Opening a model may take minutes, and its result is no longer needed.
      await Promise.race([Promise.allSettled(opening), terminated]);
      await Promise.all(retiring.values());
      for (const { model } of entries) {
        await model.queue.close();
        await model.engine.close();
      }
    },
    terminate() {
      terminate();
      for (const { model } of [...entries, ...retiring.keys()]) model.engine.terminate();
    },
  };
}

/** Reloads a model by its index in the configuration, whatever its current version. @returns what is served afterwards */
export async function reloadNth(
  { served, reload }: Pick<ModelRegistry, 'served' | 'reload'>,
  place: number,
): Promise<string> {
  const { from, to } = await reload(modelLabel(served[place]!));
  return from === to ? to : `${to} in place of ${from}`;
}

/** The names of a model by its index in the configuration: `name`, and the current `name@version`. */
export function namesOfNth({ served }: Pick<ModelRegistry, 'served'>, place: number): readonly string[] {
  const model = served[place]!;
  return [model.engine.manifest.name, modelLabel(model)];
}
