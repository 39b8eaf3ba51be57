import type { Logger } from 'pino';
import type { Decoder } from '../../decode/decoder.js';
import { type Engine, EngineError } from '../../engine/engine.js';
import { runCanary } from './canary.js';
import { type ModelRegistry, modelLabel, type OpenModel } from './registry.js';

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
  /** What is wrong with models now, as callers may read it: one that lacks a worker may still serve. */
  readonly problems: readonly string[];
  /** Everything is NOT_SERVING from now on. */
  stop(): void;
}

/** One model under watch. */
interface Watched {
  readonly context: OpenModel;
  /** The last canary failed, or did not come back. */
  sick: boolean;
  /** A canary is under way. */
  examined: boolean;
  /** Workers that were replaced so far. */
  replaced: number;
  unwatch(): void;
}

/** Workers of an engine that were replaced since its start. */
function replacedBy({ status }: Pick<Engine, 'status'>): number {
  return Object.values(status.restarts).reduce((sum, count) => sum + count, 0);
}

/**
 * Calls back when a run that is begun now takes too long. No time counts while all workers are busy, for the run waits then
 * and they are killed if they hang (`runSeconds`); and each worker that comes free begins it anew.
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
 * Keeps the state of every model: it serves while a worker stands and its last canary, a real inference, was well. A canary runs
 * every interval, also under load: callers who ignore health would else keep a sick model from being found well again, and
 * answers that are not finite would not be noticed.
 */
export function createHealthMonitor(options: HealthMonitorOptions): HealthMonitor {
  const { models, decoder, intervalMs, timeoutMs, report, logger } = options;
  let watched: Watched[] = [];
  const reported = new Map<string, boolean>();
  let stopped = false;

  function serves({ context, sick }: Watched): boolean {
    const { state } = context.engine.status;
    // One that is starting stands in a moment, and images wait for it.
    const decodes = decoder?.status?.state !== 'down';
    return !stopped && !sick && decodes && (state === 'ready' || state === 'degraded');
  }

  function tell(): void {
    const states = new Map<string, boolean>();
    for (const each of watched) {
      const { name } = each.context.engine.manifest;
      // A name alone means its first version, as in requests.
      if (!states.has(name)) states.set(name, serves(each));
      states.set(modelLabel(each.context), serves(each));
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
    for (const { context, sick } of watched) {
      const { publicReason } = context.engine.status;
      if (publicReason !== undefined) yield `${modelLabel(context)} lacks a worker: ${publicReason}`;
      if (sick) yield `${modelLabel(context)} failed at its last canary`;
    }
  }

  const serving = (): boolean => watched[0] !== undefined && serves(watched[0]);

  /** Follows what is served: a model that was reloaded has another engine. */
  function follow(): void {
    const before = watched;
    watched = models.served.map(
      (context) =>
        before.find((each) => each.context === context) ?? {
          context,
          // Whoever serves a model has warmed it.
          sick: false,
          examined: false,
          replaced: replacedBy(context.engine),
          unwatch: context.engine.watch(() => notice(context)),
        },
    );
    for (const each of before) if (!watched.includes(each)) each.unwatch();
    tell();
  }

  /** Something has changed in an engine: a sick model whose worker was replaced is likely well again, and need not wait. */
  function notice(context: Watched['context']): void {
    const watch = watched.find((each) => each.context === context);
    if (watch !== undefined) {
      const replaced = replacedBy(context.engine);
      if (watch.sick && replaced > watch.replaced) void check(watch);
      watch.replaced = replaced;
    }
    tell();
  }

  function judge(each: Watched, failure?: unknown): void {
    if (stopped || !watched.includes(each)) return;
    const sick = failure !== undefined;
    const facts = { model: modelLabel(each.context) };
    if (sick && !each.sick) logger.error({ ...facts, err: failure }, 'the canary failed');
    else if (!sick && each.sick) logger.info(facts, 'the canary is well again');
    each.sick = sick;
    tell();
  }

  async function check(each: Watched): Promise<void> {
    const { engine } = each.context;
    const { state } = engine.status;
    if (each.examined || state === 'down' || state === 'recovering') return;
    each.examined = true;
    const end = whenLate(engine, timeoutMs, () => judge(each, new Error(`no answer in ${timeoutMs} ms`)));
    try {
      await runCanary(engine);
      judge(each);
    } catch (error) {
      // A worker that was lost says nothing about the model: the others go on, and where none is left the engine's state says so.
      if (!(error instanceof EngineError && error.code === 'unavailable')) judge(each, error);
    } finally {
      end();
      each.examined = false;
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
