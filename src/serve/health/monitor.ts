import type { Logger } from 'pino';
import type { ServeContext } from '../context.js';
import { runCanary } from '../models/canary.js';
import { type ModelRegistry, modelLabel } from '../models/registry.js';

export interface HealthMonitorOptions {
  readonly models: Pick<ModelRegistry, 'served' | 'watch'>;
  /** Pause between two canaries of an idle model, in ms. */
  readonly intervalMs: number;
  /** Longest time that a canary of an idle model may take, in ms. */
  readonly timeoutMs: number;
  /** Told the state of a name when it has changed, and at first: of each model, as `name@version` and as `name`; of all, as ''. */
  readonly report: (name: string, serving: boolean) => void;
  readonly logger: Pick<Logger, 'info' | 'error'>;
}

export interface HealthMonitor {
  /** Whether the default model answers: the state of the whole service. */
  readonly serving: boolean;
  /** Everything is NOT_SERVING from now on. */
  stop(): void;
}

/** One model under watch. */
interface Watched {
  readonly context: ServeContext;
  /** The last canary failed, or did not come back. */
  sick: boolean;
  unwatch(): void;
}

/**
 * Keeps the state of every model: it serves while a worker stands and its last canary, a real inference, was well. Canaries run
 * whenever all workers are idle for an interval: those that are busy show by their answers that they work, or are killed when
 * none comes (`runSeconds`).
 */
export function createHealthMonitor(options: HealthMonitorOptions): HealthMonitor {
  const { models, intervalMs, timeoutMs, report, logger } = options;
  let watched: Watched[] = [];
  const reported = new Map<string, boolean>();
  let stopped = false;

  function serves({ context, sick }: Watched): boolean {
    const { state } = context.engine.status;
    return !stopped && !sick && (state === 'ready' || state === 'degraded');
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
          unwatch: context.engine.watch(tell),
        },
    );
    for (const each of before) if (!watched.includes(each)) each.unwatch();
    tell();
  }

  async function check(each: Watched): Promise<void> {
    const { engine } = each.context;
    const { state, workers } = engine.status;
    if (state === 'down' || state === 'recovering' || engine.idle < workers.length) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
    });
    try {
      await Promise.race([runCanary(engine), late]);
      if (each.sick) logger.info({ model: modelLabel(each.context) }, 'the canary is well again');
      each.sick = false;
    } catch (error) {
      if (stopped || !watched.includes(each)) return;
      if (!each.sick) logger.error({ model: modelLabel(each.context), err: error }, 'the canary failed');
      each.sick = true;
    } finally {
      clearTimeout(timer);
      tell();
    }
  }

  const timer = setInterval(() => {
    for (const each of watched) void check(each);
  }, intervalMs);
  timer.unref();
  const unwatch = models.watch(follow);
  follow();

  return {
    get serving() {
      return serving();
    },
    stop() {
      stopped = true;
      clearInterval(timer);
      unwatch();
      for (const each of watched) each.unwatch();
      tell();
    },
  };
}
