import type { Logger } from 'pino';
import type { Decoder } from '../../decode/decoder.js';
import { type Engine, EngineError } from '../../engine/engine.js';
import { runCanary } from './canary.js';
import { type ModelRegistry, modelLabel, type ServedModel } from './registry.js';

export interface HealthMonitorOptions {
  readonly models: Pick<ModelRegistry, 'served' | 'watch'>;
  /** Without a process that decodes, no model answers to images. */
  readonly decoder?: Pick<Decoder, 'status' | 'watch'> | undefined;
  /** Pause between two canaries of a model, in ms. */
  readonly intervalMs: number;
  /** Longest time that a canary may take once a worker is free for it, in ms. */
  readonly timeoutMs: number;
  /** Told the state of a name when it has changed, and at first: of each model, as `name@version` and as `name`; of all, as ''. */
  readonly report: (name: string, serving: boolean) => void;
  readonly logger: Pick<Logger, 'info' | 'error'>;
}

export interface HealthMonitor {
  /** Whether the default model answers: the state of the whole service. */
  readonly serving: boolean;
  /** What is wrong with models now, as callers may read it. A model that lacks one of its workers may still serve. */
  readonly problems: readonly string[];
  /** Everything is NOT_SERVING from now on. */
  stop(): void;
}

/** One model under watch. */
interface Watched {
  readonly model: ServedModel;
  /** The last canary failed, or did not end in time. */
  unhealthy: boolean;
  /** A canary is under way. */
  checking: boolean;
  /** Workers that were replaced so far. */
  replaced: number;
  unwatch(): void;
}

/** Workers of an engine that were replaced since its start. */
function replacedBy({ status }: Pick<Engine, 'status'>): number {
  return Object.values(status.restarts).reduce((sum, count) => sum + count, 0);
}

/**
 * Calls back when a run that begins now takes too long. While all workers are busy the run waits, and no time counts: workers
 * that hang are killed anyway (`runSeconds`). The time starts anew with each worker that becomes idle.
 * @returns ends the watch
 */
function whenLate(engine: Pick<Engine, 'idle' | 'watch'>, timeoutMs: number, late: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const begin = (): void => {
    clearTimeout(timer);
    timer = setTimeout(late, timeoutMs);
  };
  if (engine.idle > 0) begin();
  const unwatch = engine.watch(begin);
  return () => {
    clearTimeout(timer);
    unwatch();
  };
}

/**
 * Keeps the state of every model. A model serves while a worker runs and its last canary, a real inference, succeeded. Canaries
 * run every interval, also under load: callers who ignore health would else keep an unhealthy model from being found healthy
 * again, and answers that are not finite would not be noticed.
 */
export function createHealthMonitor(options: HealthMonitorOptions): HealthMonitor {
  const { models, decoder, intervalMs, timeoutMs, report, logger } = options;
  let watched: Watched[] = [];
  const reported = new Map<string, boolean>();
  let stopped = false;

  function serves({ model, unhealthy }: Watched): boolean {
    const { state } = model.engine.status;
    // One that is starting is ready in a moment, and images wait for it.
    const decodes = decoder?.status?.state !== 'down';
    return !stopped && !unhealthy && decodes && (state === 'ready' || state === 'degraded');
  }

  function tell(): void {
    const states = new Map<string, boolean>();
    for (const each of watched) {
      const { name } = each.model.engine.manifest;
      // A name alone means its first version, as in requests.
      if (!states.has(name)) states.set(name, serves(each));
      states.set(modelLabel(each.model), serves(each));
    }
    for (const gone of reported.keys()) if (gone !== '' && !states.has(gone)) states.set(gone, false);
    states.set('', serving());
    for (const [name, state] of states) {
      // Those who watch a name are told every report.
      if (reported.get(name) === state) continue;
      reported.set(name, state);
      report(name, state);
    }
  }

  function* problems(): Generator<string> {
    for (const { model, unhealthy } of watched) {
      const { publicReason } = model.engine.status;
      if (publicReason !== undefined) yield `${modelLabel(model)} lacks a worker: ${publicReason}`;
      if (unhealthy) yield `${modelLabel(model)} failed at its last canary`;
    }
  }

  const serving = (): boolean => watched[0] !== undefined && serves(watched[0]);

  /** Follows what is served: a model that was reloaded has another engine. */
  function follow(): void {
    const before = watched;
    watched = models.served.map(
      (model) =>
        before.find((each) => each.model === model) ?? {
          model,
          // Every model is warmed before it is served.
          unhealthy: false,
          checking: false,
          replaced: replacedBy(model.engine),
          unwatch: model.engine.watch(() => notice(model)),
        },
    );
    for (const each of before) if (!watched.includes(each)) each.unwatch();
    tell();
  }

  /** An engine's state has changed. An unhealthy model whose worker was replaced is likely healthy again: it is checked now. */
  function notice(model: Watched['model']): void {
    const watch = watched.find((each) => each.model === model);
    if (watch !== undefined) {
      const replaced = replacedBy(model.engine);
      if (watch.unhealthy && replaced > watch.replaced) void check(watch);
      watch.replaced = replaced;
    }
    tell();
  }

  function judge(each: Watched, failure?: unknown): void {
    if (stopped || !watched.includes(each)) return;
    const unhealthy = failure !== undefined;
    const facts = { model: modelLabel(each.model) };
    if (unhealthy && !each.unhealthy) logger.error({ ...facts, err: failure }, 'the canary failed');
    else if (!unhealthy && each.unhealthy) logger.info(facts, 'the canary succeeded again');
    each.unhealthy = unhealthy;
    tell();
  }

  async function check(each: Watched): Promise<void> {
    const { engine } = each.model;
    const { state } = engine.status;
    if (each.checking || state === 'down' || state === 'recovering') return;
    each.checking = true;
    const end = whenLate(engine, timeoutMs, () => judge(each, new Error(`no answer in ${timeoutMs} ms`)));
    try {
      await runCanary(engine);
      judge(each);
    } catch (error) {
      // The loss of a worker says nothing about the model; where no worker is left, the engine's state says so.
      if (!(error instanceof EngineError && error.code === 'unavailable')) judge(each, error);
    } finally {
      end();
      each.checking = false;
    }
  }

  const timer = setInterval(() => {
    for (const each of watched) void check(each);
  }, intervalMs);
  timer.unref();
  const unwatch = models.watch(follow);
  const unwatchDecoder = decoder?.watch(tell);
  follow();

  return {
    get serving() {
      return serving();
    },
    get problems() {
      return [...problems()];
    },
    stop() {
      stopped = true;
      clearInterval(timer);
      unwatch();
      unwatchDecoder?.();
      for (const each of watched) each.unwatch();
      tell();
    },
  };
}
