import type { Logger } from 'pino';
import type { Decoder } from '../../decode/decoder.js';
import { type Engine, EngineError } from '../../engine/engine.js';
import { runCanary } from './canary.js';
import { type ModelRegistry, modelLabel, type ServedModel } from './registry.js';

export interface HealthMonitorOptions {
  readonly models: Pick<ModelRegistry, 'served' | 'watch'>;
  /** While no decode process is running, no model is serving. */
  readonly decoder?: Pick<Decoder, 'status' | 'watch'> | undefined;
  /** Interval between canaries of a model in ms. */
  readonly intervalMs: number;
  /** Maximum time of a canary in ms, once a worker is idle. */
  readonly timeoutMs: number;
  /** Called with the initial state of every name, and when it has changed: each model has `name@version` and `name`, the service ''. */
  readonly report: (name: string, serving: boolean) => void;
  readonly logger: Pick<Logger, 'info' | 'error'>;
}

export interface HealthMonitor {
  /** Whether the default model is serving: the state of the whole service. */
  readonly serving: boolean;
  /** The last reported state of a model (`name` or `name@version`); false for one that is not served. */
  isServing(name: string): boolean;
  /** Current problems of models, in words for callers. A model that lacks one of its workers may still be serving. */
  readonly problems: readonly string[];
  /** Everything is NOT_SERVING from now on. */
  stop(): void;
}

/** A monitored model. */
interface MonitoredModel {
  readonly model: ServedModel;
  /** Whether the last canary failed or exceeded its time. */
  unhealthy: boolean;
  /** Whether a canary is running. */
  checking: boolean;
  /** Number of workers that were replaced so far. */
  replaced: number;
  unwatch(): void;
}

/** Number of workers that an engine has replaced since its start. */
function replacedWorkers({ status }: Pick<Engine, 'status'>): number {
  return Object.values(status.restarts).reduce((sum, count) => sum + count, 0);
}

/**
 * Calls `onLate` if a run that is submitted now takes too long. The timer starts when a worker is idle, and restarts at every change
 * of `idle` and of the engine's state. The wait for busy workers does not count: workers that hang are killed anyway (`runSeconds`).
 * @returns stops the timer
 */
function startRunTimer(engine: Pick<Engine, 'idle' | 'watch'>, timeoutMs: number, onLate: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const restart = (): void => {
    clearTimeout(timer);
    timer = setTimeout(onLate, timeoutMs);
  };
  if (engine.idle > 0) restart();
  const unwatch = engine.watch(restart);
  return () => {
    clearTimeout(timer);
    unwatch();
  };
}

/**
 * Monitors the health of every model. A model is serving while a worker is running and its last canary, a real inference,
 * succeeded. Canaries run in every interval, also under load: otherwise a model that gets requests in spite of its state would never
 * become healthy again, and outputs that are not finite would not be noticed.
 */
export function createHealthMonitor(options: HealthMonitorOptions): HealthMonitor {
  const { models, decoder, intervalMs, timeoutMs, report, logger } = options;
  let monitored: MonitoredModel[] = [];
  const reported = new Map<string, boolean>();
  let stopped = false;

  function isServing({ model, unhealthy }: MonitoredModel): boolean {
    const { state } = model.engine.status;
    // A decoder that is starting counts as ready: images wait for it.
    const decodes = decoder?.status?.state !== 'down';
    return !stopped && !unhealthy && decodes && (state === 'ready' || state === 'degraded');
  }

  /** Reports every state that has changed. */
  function reportChanges(): void {
    const states = new Map<string, boolean>();
    for (const each of monitored) {
      const { name } = each.model.engine.manifest;
      // As in requests, a name without a version means its first version.
      if (!states.has(name)) states.set(name, isServing(each));
      states.set(modelLabel(each.model), isServing(each));
    }
    for (const name of reported.keys()) if (name !== '' && !states.has(name)) states.set(name, false);
    states.set('', serving());
    for (const [name, state] of states) {
      // Clients that watch a name receive every report.
      if (reported.get(name) === state) continue;
      reported.set(name, state);
      report(name, state);
    }
  }

  function* problems(): Generator<string> {
    for (const { model, unhealthy } of monitored) {
      const { publicReason } = model.engine.status;
      if (publicReason !== undefined) yield `${modelLabel(model)} lacks a worker: ${publicReason}`;
      if (unhealthy) yield `${modelLabel(model)} failed at its last canary`;
    }
  }

  const serving = (): boolean => monitored[0] !== undefined && isServing(monitored[0]);

  /** Updates the list of models: a reloaded model has another engine. */
  function updateModels(): void {
    const before = monitored;
    monitored = models.served.map(
      (model) =>
        before.find((each) => each.model === model) ?? {
          model,
          // Every model is warmed up before it is served.
          unhealthy: false,
          checking: false,
          replaced: replacedWorkers(model.engine),
          unwatch: model.engine.watch(() => engineChanged(model)),
        },
    );
    for (const each of before) if (!monitored.includes(each)) each.unwatch();
    reportChanges();
  }

  /** Handles a change of an engine's state. An unhealthy model whose worker was replaced is probably healthy again: it is checked. */
  function engineChanged(model: MonitoredModel['model']): void {
    const each = monitored.find((one) => one.model === model);
    if (each !== undefined) {
      const replaced = replacedWorkers(model.engine);
      if (each.unhealthy && replaced > each.replaced) void runCheck(each);
      each.replaced = replaced;
    }
    reportChanges();
  }

  function recordResult(each: MonitoredModel, failure?: unknown): void {
    if (stopped || !monitored.includes(each)) return;
    const unhealthy = failure !== undefined;
    const facts = { model: modelLabel(each.model) };
    if (unhealthy && !each.unhealthy) logger.error({ ...facts, err: failure }, 'the canary failed');
    else if (!unhealthy && each.unhealthy) logger.info(facts, 'the canary succeeded again');
    each.unhealthy = unhealthy;
    reportChanges();
  }

  async function runCheck(each: MonitoredModel): Promise<void> {
    const { engine } = each.model;
    const { state } = engine.status;
    if (each.checking || state === 'down' || state === 'recovering') return;
    each.checking = true;
    const stopTimer = startRunTimer(engine, timeoutMs, () =>
      recordResult(each, new Error(`no answer in ${timeoutMs} ms`)),
    );
    try {
      await runCanary(engine);
      recordResult(each);
    } catch (error) {
      // The loss of a worker does not make the model unhealthy; if no worker is left, the engine's state shows it.
      if (!(error instanceof EngineError && error.code === 'unavailable')) recordResult(each, error);
    } finally {
      stopTimer();
      each.checking = false;
    }
  }

  const timer = setInterval(() => {
    for (const each of monitored) void runCheck(each);
  }, intervalMs);
  timer.unref();
  const unwatch = models.watch(updateModels);
  const unwatchDecoder = decoder?.watch(reportChanges);
  updateModels();

  return {
    get serving() {
      return serving();
    },
    isServing: (name) => reported.get(name) ?? false,
    get problems() {
      return [...problems()];
    },
    stop() {
      stopped = true;
      clearInterval(timer);
      unwatch();
      unwatchDecoder?.();
      for (const each of monitored) each.unwatch();
      reportChanges();
    },
  };
}
