import { EngineError, type EngineStatus, type WorkerLoss, type WorkerStatus } from './engine.js';
import type { NamedTensors } from './frames.js';
import { messageOf } from './messageOf.js';
import type { Work } from './messages.js';
import type { WorkerProcess } from './workerProcess.js';

/** A pool of identical workers that replaces workers which die. */
export interface WorkerPool<W = Work> {
  readonly status: EngineStatus;
  /** Number of idle workers. */
  readonly idle: number;
  /** Calls back on every change of `idle` and `status.state`. @returns unsubscribes */
  watch(listener: () => void): () => void;
  /**
   * Warms up all running workers, and from then on each new worker before it receives work.
   * @param check run on a worker whose work failed as `internal`, before it receives other work; if it fails, the worker is killed
   *   and replaced. Absent: no check.
   * @throws what the warm-up throws
   */
  warm(up: WarmWorker<W>, check?: CheckWorker<W>): Promise<void>;
  /**
   * Runs work on the next idle worker; waiting work is served in order.
   * @throws the signal's reason as soon as it is aborted; the worker becomes idle when it has noticed, or is killed after
   *   `givenUpMs`. `unavailable` (see `lost`) if the worker dies, or exceeds `workMs` and is killed.
   */
  work(work: W, tensors: NamedTensors, signal?: AbortSignal): Promise<NamedTensors>;
  /** Finishes all work, then stops the workers. */
  close(): Promise<void>;
  /** Kills the workers; all work rejects as `unavailable`. Call `close` afterwards. */
  terminate(): void;
}

/** A worker as the pool sees it. */
export type PoolWorker<W = Work> = Pick<WorkerProcess<W>, 'pid' | 'rssBytes' | 'ended' | 'work' | 'kill' | 'close'>;

/** Warms up a worker by running work on it. */
export type WarmWorker<W = Work> = (work: PoolWorker<W>['work']) => Promise<void>;

/** Checks, by running work on it, whether a worker can still do what it failed at. */
export type CheckWorker<W = Work> = (work: PoolWorker<W>['work'], failed: W) => Promise<void>;

export interface WorkerPoolOptions<W = Work> {
  /** Names of the pool and of a worker in messages. Default: engine, inference worker. */
  readonly owner?: string;
  readonly name?: string;
  /** The initial workers; their number is maintained. */
  readonly workers: readonly PoolWorker<W>[];
  /** Starts a replacement. */
  readonly start: () => Promise<PoolWorker<W>>;
  /** Maximum time in ms for one piece of work, after which the worker is killed. Absent: unlimited. */
  readonly workMs?: number | undefined;
  /** The error of work that exceeded it. Default: that of a worker that died. */
  readonly late?: () => Error;
  /** Maximum time in ms for which cancelled work may continue before its worker is killed. Absent: until `workMs`. */
  readonly givenUpMs?: number;
  /** The error if no worker can do the work. Default: EngineError `unavailable`. @param told the public message for callers */
  readonly lost?: (reason: string, told: string) => Error;
  /** A death during work is attributed to the work, so the replacement is started without a pause. */
  readonly blamesWork?: boolean;
  /** Receives messages about deaths, failed starts and replacements. */
  readonly log: (message: string) => void;
  /** Pauses between start attempts, in ms. */
  readonly backOff?: BackOff;
  /** How long in ms work waits while no worker is running; after that it fails as unavailable. Default: 10,000. */
  readonly recoverMs?: number;
}

export interface BackOff {
  /** Pause before the second attempt; doubles with each further one. The first replacement is started immediately. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** A worker that lived for at least this long counts as healthy: after its death a replacement is started immediately. */
  readonly wellMs: number;
}

const defaultBackOff: BackOff = { firstMs: 250, longestMs: 30_000, wellMs: 10_000 };

/** A slot for one worker. */
interface Place<W> {
  worker: PoolWorker<W> | undefined;
  state: WorkerStatus['state'];
  /** How the last worker ended. */
  loss: WorkerLoss;
  /** Consecutive deaths and failed starts. */
  failures: number;
  timer?: NodeJS.Timeout;
}

/** A slot with the worker that it held when it was taken. */
interface Taken<W> {
  readonly place: Place<W>;
  readonly worker: PoolWorker<W>;
}

interface Waiter<W> {
  take(place: Place<W>): void;
  refuse(error: Error): void;
}

/** Whether the runtime failed: because of the input, or because it is permanently broken in this process. */
function isRuntimeFailure(error: unknown): boolean {
  return error instanceof EngineError && error.code === 'internal';
}

/** Settles like the work, or rejects with the signal's reason as soon as it is aborted. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

export function createWorkerPool<W = Work>(options: WorkerPoolOptions<W>): WorkerPool<W> {
  const { start, log, workMs, late, givenUpMs, backOff = defaultBackOff, recoverMs = 10_000 } = options;
  const { owner = 'engine', name = 'inference worker' } = options;
  const { lost = (reason, told) => new EngineError('unavailable', reason, { publicMessage: told }) } = options;
  const listeners = new Set<() => void>();
  let waiters: Waiter<W>[] = [];
  const restarts = { died: 0, hung: 0, broken: 0 };
  let busyMs = 0;
  let warmUp: WarmWorker<W> | undefined;
  let check: CheckWorker<W> | undefined;
  let lastLoss: Required<Pick<EngineStatus, 'reason' | 'publicReason'>> | undefined;
  const startFailures = { model_changed: 0, other: 0 };
  let closing: Promise<void> | undefined;
  let terminated = false;
  /** Timer that runs while no worker is running. */
  let recovery: NodeJS.Timeout | undefined;
  /** Whether no worker has been running for longer than work waits. */
  let overdue = false;
  const running = new Set<Promise<unknown>>();
  const places = options.workers.map(
    (): Place<W> => ({
      worker: undefined,
      state: 'starting',
      loss: 'died',
      failures: 0,
    }),
  );
  for (const [i, place] of places.entries()) occupy(place, options.workers[i]!);

  const count = (...states: WorkerStatus['state'][]): number =>
    places.filter(({ state }) => states.includes(state)).length;

  function state(): EngineStatus['state'] {
    const standing = count('idle', 'busy');
    if (standing === places.length) return 'ready';
    if (standing > 0) return 'degraded';
    return count('starting') > 0 && !overdue ? 'recovering' : 'down';
  }

  function changed(): void {
    for (let place = places.find((each) => each.state === 'idle'); place && waiters.length > 0; ) {
      waiters.shift()!.take(place);
      place = places.find((each) => each.state === 'idle');
    }
    if (state() === 'down') {
      for (const { refuse } of waiters) refuse(unavailable());
      waiters = [];
    }
    for (const listener of listeners) listener();
  }

  function unavailable(): Error {
    const message = (why = 'none was started'): string => `no ${name} is running (${why}); a new one is being started`;
    return lost(message(lastLoss?.reason), message(lastLoss?.publicReason));
  }

  function occupy(place: Place<W>, worker: PoolWorker<W>): void {
    place.worker = worker;
    place.state = 'idle';
    clearTimeout(recovery);
    recovery = undefined;
    overdue = false;
    const since = performance.now();
    worker.ended.then((how) => {
      if ((closing !== undefined || terminated) && place.state === 'idle') return;
      const blameless = options.blamesWork === true && place.state === 'busy';
      if (blameless || performance.now() - since >= backOff.wellMs) place.failures = 0;
      lose(place, how, how);
    });
  }

  const closed = (): Error => lost(`the ${owner} is closed`, 'the model is closed');

  /** Whether a further worker is not needed. */
  const nothingLeft = (): boolean => terminated || (closing !== undefined && waiters.length === 0);

  /** A worker died or could not start: tries again, the first time immediately. @param told the public version of `how` */
  function lose(place: Place<W>, how: string, told: string): void {
    lastLoss = { reason: how, publicReason: told };
    place.worker = undefined;
    place.state = 'failed';
    const pause = place.failures === 0 ? 0 : Math.min(backOff.longestMs, backOff.firstMs * 2 ** (place.failures - 1));
    place.failures++;
    if (nothingLeft()) {
      changed();
      return;
    }
    if (count('idle', 'busy') === 0 && !overdue) {
      recovery ??= setTimeout(() => {
        overdue = true;
        changed();
      }, recoverMs);
    }
    log(`${how}; a replacement is started ${pause === 0 ? 'now' : `in ${pause} ms`}`);
    if (pause === 0) replace(place);
    else place.timer = setTimeout(() => replace(place), pause);
    changed();
  }

  function replace(place: Place<W>): void {
    place.state = 'starting';
    const since = performance.now();
    startWarm(place).then(
      (worker) => {
        if (nothingLeft()) {
          place.state = 'failed';
          void worker.close();
          return;
        }
        restarts[place.loss]++;
        place.loss = 'died';
        occupy(place, worker);
        log(`worker ${worker.pid} replaced a lost one after ${Math.round(performance.now() - since)} ms`);
        changed();
      },
      (error: unknown) => {
        const known = error instanceof EngineError ? error : undefined;
        startFailures[known?.startFailure ?? 'other']++;
        lose(place, messageOf(error), known?.publicMessage ?? 'none could be started');
      },
    );
    if (place.failures > 1) changed();
  }

  /** Starts and warms up a worker. */
  async function startWarm(place: Place<W>): Promise<PoolWorker<W>> {
    const worker = await start();
    try {
      await warmUp?.(boundedWork({ place, worker }));
      return worker;
    } catch (error) {
      void worker.close();
      throw error;
    }
  }

  /** Runs work with a time limit, which is the only way to tell a hung worker from a busy one. */
  function boundedWork({ place, worker }: Taken<W>): PoolWorker<W>['work'] {
    return async (work, tensors, signal) => {
      let isLate = false;
      const timers: NodeJS.Timeout[] = [];
      const killIn = (ms: number, how: string, told: () => void = () => {}): void => {
        const kill = (): void => {
          told();
          place.loss = 'hung';
          worker.kill(`killed: its work ${how} ${ms / 1000} s`);
        };
        timers.push(setTimeout(kill, ms));
      };
      const giveUp = (): void => {
        if (givenUpMs !== undefined) killIn(givenUpMs, 'was cancelled and did not end within');
      };
      if (workMs !== undefined) {
        killIn(workMs, 'did not finish within', () => {
          isLate = true;
        });
      }
      if (signal?.aborted) giveUp();
      else signal?.addEventListener('abort', giveUp, { once: true });
      try {
        return await worker.work(work, tensors, signal);
      } catch (error) {
        throw isLate && late !== undefined ? late() : error;
      } finally {
        for (const timer of timers) clearTimeout(timer);
        signal?.removeEventListener('abort', giveUp);
      }
    };
  }

  async function nextFree(signal?: AbortSignal): Promise<Taken<W>> {
    signal?.throwIfAborted();
    const free = places.find((place) => place.state === 'idle');
    if (free) return occupied(free);
    if (state() === 'down') throw unavailable();
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        waiters = waiters.filter((each) => each !== waiter);
        reject(signal?.reason);
      };
      const settled = (act: () => void): void => {
        signal?.removeEventListener('abort', leave);
        act();
      };
      const waiter: Waiter<W> = {
        take: (place) => settled(() => resolve(occupied(place))),
        refuse: (error) => settled(() => reject(error)),
      };
      signal?.addEventListener('abort', leave, { once: true });
      waiters.push(waiter);
    });
  }

  /** Takes a slot in the same turn in which it was found idle: another caller must not find it idle, and its worker may die in the next turn. */
  function occupied(place: Place<W>): Taken<W> {
    place.state = 'busy';
    return { place, worker: place.worker! };
  }

  /** Passes a taken slot on to the next waiter, unless its worker has died in the meantime. */
  function giveBack({ place, worker }: Taken<W>): void {
    if (place.worker !== worker || place.state !== 'busy') return;
    place.state = 'idle';
    changed();
  }

  /** Runs work on a worker that was taken. */
  async function busyWith<T>(taken: Taken<W>, doing: (work: PoolWorker<W>['work']) => Promise<T>): Promise<T> {
    const since = performance.now();
    try {
      return await doing(boundedWork(taken));
    } finally {
      busyMs += performance.now() - since;
    }
  }

  async function warmTaken(taken: Taken<W>, up: WarmWorker<W>): Promise<void> {
    try {
      await busyWith(taken, up);
    } finally {
      giveBack(taken);
    }
  }

  async function doWork(work: W, tensors: NamedTensors, signal?: AbortSignal): Promise<NamedTensors> {
    const taken = await nextFree(signal);
    let suspect = false;
    try {
      return await busyWith(taken, (workOf) => workOf(work, tensors, signal));
    } catch (error) {
      // A cancelled search also ends with an error.
      suspect = isRuntimeFailure(error) && signal?.aborted !== true;
      throw error;
    } finally {
      // Not awaited: the caller is told of the failure immediately.
      if (suspect && check !== undefined && !nothingLeft()) void track(examine(taken, work, check));
      else giveBack(taken);
    }
  }

  /**
   * Checks a worker whose work failed before it receives other work. After some errors, such as an illegal access on a GPU, the
   * runtime of a process never works again. Such a worker would fail fast, be idle most often, and receive most of the work.
   */
  async function examine(taken: Taken<W>, failed: W, check: CheckWorker<W>): Promise<void> {
    const { place, worker } = taken;
    try {
      await busyWith(taken, (workOf) => check(workOf, failed));
    } catch (error) {
      // It died during its check, or hung and was killed.
      if (place.worker !== worker) return;
      log(`worker ${worker.pid} failed its work and then its check: ${messageOf(error)}`);
      place.loss = 'broken';
      worker.kill('killed: its work failed, and so did the check after it');
      return;
    }
    giveBack(taken);
  }

  /** Completes only when the worker is no longer busy with it. */
  function track<T>(done: Promise<T>): Promise<T> {
    running.add(done);
    void done.catch(() => {}).finally(() => running.delete(done));
    return done;
  }

  return {
    get status() {
      const now = state();
      return {
        state: now,
        ...(now !== 'ready' && lastLoss),
        workers: places.map(({ worker, state }) => ({
          ...(worker && { pid: worker.pid }),
          state,
          rssBytes: worker?.rssBytes ?? 0,
        })),
        restarts: { ...restarts },
        startFailures: { ...startFailures },
        busySeconds: busyMs / 1000,
      };
    },
    get idle() {
      return count('idle');
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async warm(up, checkAfter) {
      warmUp = up;
      check = checkAfter;
      const idle = places.filter((place) => place.state === 'idle');
      await Promise.all(idle.map((place) => track(warmTaken(occupied(place), up))));
    },
    async work(work, tensors, signal) {
      if (closing !== undefined || terminated) throw closed();
      // Cancelled work keeps its worker busy for a while.
      const done = track(doWork(work, tensors, signal));
      return signal ? untilAborted(done, signal) : done;
    },
    close() {
      closing ??= (async () => {
        await Promise.allSettled(running);
        clearTimeout(recovery);
        for (const { timer } of places) clearTimeout(timer);
        await Promise.all(places.map(({ worker }) => worker?.close()));
      })();
      return closing;
    },
    terminate() {
      if (terminated) return;
      terminated = true;
      clearTimeout(recovery);
      for (const { refuse } of waiters.splice(0)) refuse(closed());
      for (const { timer, worker } of places) {
        clearTimeout(timer);
        worker?.kill(`killed: the ${owner} is closed and does not wait any longer`);
      }
    },
  };
}
