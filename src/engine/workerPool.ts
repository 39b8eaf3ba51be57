import { EngineError, type EngineStatus, type WorkerLoss, type WorkerStatus } from './engine.js';
import type { NamedTensors } from './messageCodec.js';
import { errorMessage, type Work } from './messages.js';
import type { WorkerProcess } from './workerProcess.js';

/** Workers that do the same kind of task. Those that die are replaced. */
export interface WorkerPool<W = Work> {
  readonly status: EngineStatus;
  /** Workers that are free. */
  readonly idle: number;
  /** Calls the listener at every change of `idle` and of `status.state`. @returns removes the listener */
  watch(listener: () => void): () => void;
  /**
   * Warms all running workers, and from then on each new one before it takes a task.
   * @param check run by a worker whose task failed as `internal`, before its next task; where it throws, the worker is killed
   *   and replaced. Absent: no check.
   * @throws the error of the warm-up
   */
  warm(up: WarmWorker<W>, check?: CheckWorker<W>): Promise<void>;
  /**
   * Gives a task to the next free worker. Callers that wait are served in order.
   * @throws the signal's reason as soon as it is aborted (the worker is free again when it has noticed, or is killed after
   *   `givenUpMs`); `unavailable` (see `lost`) where the worker dies, or takes longer than `workMs` and is killed.
   */
  work(work: W, tensors: NamedTensors, signal?: AbortSignal): Promise<NamedTensors>;
  /** Finishes all tasks, then ends the workers, those that are starting too. */
  close(): Promise<void>;
  /** Kills the workers, those that are starting too: all tasks reject as `unavailable`. Call `close` afterwards. */
  terminate(): void;
}

/** The part of a worker that the pool uses. */
export type PoolWorker<W = Work> = Pick<WorkerProcess<W>, 'pid' | 'rssBytes' | 'ended' | 'work' | 'kill' | 'close'>;

/** Makes a worker ready by tasks that this worker alone does. */
export type WarmWorker<W = Work> = (work: PoolWorker<W>['work']) => Promise<void>;

/** Finds out, by tasks that this worker alone does, whether it can still do what it failed at. */
export type CheckWorker<W = Work> = (work: PoolWorker<W>['work'], failed: W) => Promise<void>;

export interface WorkerPoolOptions<W = Work> {
  /** Names of the owner of the pool and of a worker, for messages. Default: engine, inference worker. */
  readonly owner?: string;
  readonly name?: string;
  /** The first workers. The pool keeps this number of them. */
  readonly workers: readonly PoolWorker<W>[];
  /**
   * Starts a replacement of a lost worker.
   * @param place of the lost one in `workers`
   * @param signal kills it while it is starting; the promise must reject soon, since `close` waits for it
   */
  readonly start: (place: number, signal: AbortSignal) => Promise<PoolWorker<W>>;
  /** Longest time in ms for one task, after which its worker is killed. Absent: no limit. */
  readonly workMs?: number | undefined;
  /** The error of a task that took longer. Default: that of a worker that died. */
  readonly late?: () => Error;
  /** Longest time in ms for which an aborted task may go on before its worker is killed. Absent: until `workMs`. */
  readonly givenUpMs?: number;
  /**
   * The error of a task that no worker can take. Default: EngineError `unavailable`.
   * @param publicReason the reason as callers may read it
   */
  readonly lost?: (reason: string, publicReason: string) => Error;
  /** Where a worker dies during a task, the task is to blame: the replacement is started without a pause. */
  readonly blamesWork?: boolean;
  /** Called with deaths, failed starts and replacements. */
  readonly log: (message: string) => void;
  /** Pauses between attempts to start a replacement. */
  readonly backOff?: BackOff;
  /** How long in ms tasks wait while no worker runs. After that they are rejected until one does. Default 10,000. */
  readonly recoverMs?: number;
}

export interface BackOff {
  /** Before the second attempt; doubles with each further one. The first attempt is immediate. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** A worker that lived this long counts as healthy: after it exits the first attempt is immediate. */
  readonly wellMs: number;
}

const defaultBackOff: BackOff = { firstMs: 250, longestMs: 30_000, wellMs: 10_000 };

/** A slot of the pool, which holds one worker. */
interface Place<W> {
  worker: PoolWorker<W> | undefined;
  state: WorkerStatus['state'];
  /** How the last worker was lost. */
  loss: WorkerLoss;
  /** Consecutive deaths and failed starts. */
  failures: number;
  busyMs: number;
  readonly restarts: Record<WorkerLoss, number>;
  timer?: NodeJS.Timeout;
}

/** A place and its worker, while the worker is busy. */
interface Taken<W> {
  readonly place: Place<W>;
  readonly worker: PoolWorker<W>;
}

interface Waiter<W> {
  take(place: Place<W>): void;
  refuse(error: Error): void;
}

/** Whether the runtime failed: because of its input, or because it is broken in this process from now on. */
function isRuntimeFailure(error: unknown): boolean {
  return error instanceof EngineError && error.code === 'internal';
}

/** Settles as the task does, or rejects with the signal's reason as soon as it is aborted. */
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
  const { lost = (reason, publicReason) => new EngineError('unavailable', reason, { publicMessage: publicReason }) } =
    options;
  const listeners = new Set<() => void>();
  let waiters: Waiter<W>[] = [];
  let warmUp: WarmWorker<W> | undefined;
  let check: CheckWorker<W> | undefined;
  let lastLoss: Required<Pick<EngineStatus, 'reason' | 'publicReason'>> | undefined;
  const startFailures = { model_changed: 0, other: 0 };
  let closing: Promise<void> | undefined;
  let terminated = false;
  /** Set while no worker runs. */
  let recovery: NodeJS.Timeout | undefined;
  /** Whether no worker has run for longer than tasks wait. */
  let overdue = false;
  const running = new Set<Promise<unknown>>();
  const starting = new Set<Promise<void>>();
  /** Aborted when no worker is wanted any more. */
  const unwanted = new AbortController();
  const places = options.workers.map(
    (): Place<W> => ({
      worker: undefined,
      state: 'starting',
      loss: 'died',
      failures: 0,
      busyMs: 0,
      restarts: { died: 0, hung: 0, broken: 0 },
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
    const message = (why = 'none was started'): string =>
      `no ${name} is running (${why}); a replacement is being started`;
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

  /** Whether a replacement would have nothing to do. */
  const nothingLeft = (): boolean => terminated || (closing !== undefined && waiters.length === 0);

  /**
   * A worker died or could not start: starts a replacement, the first time immediately.
   * @param publicReason `how` as callers may read it
   */
  function lose(place: Place<W>, how: string, publicReason: string): void {
    lastLoss = { reason: how, publicReason };
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
    const started = startWarm(place).then(
      async (worker) => {
        if (nothingLeft()) {
          place.state = 'failed';
          await worker.close();
          return;
        }
        place.restarts[place.loss]++;
        place.loss = 'died';
        occupy(place, worker);
        log(`worker ${worker.pid} replaced a lost one after ${Math.round(performance.now() - since)} ms`);
        changed();
      },
      (error: unknown) => {
        if (unwanted.signal.aborted) {
          place.state = 'failed';
          return;
        }
        const known = error instanceof EngineError ? error : undefined;
        startFailures[known?.startFailure ?? 'other']++;
        lose(place, errorMessage(error), known?.publicMessage ?? 'none could be started');
      },
    );
    starting.add(started);
    void started.finally(() => starting.delete(started));
    if (place.failures > 1) changed();
  }

  /** Starts a worker and warms it, where the first ones were warmed. */
  async function startWarm(place: Place<W>): Promise<PoolWorker<W>> {
    const { signal } = unwanted;
    const worker = await start(places.indexOf(place), signal);
    const kill = (): void => worker.kill(`killed: the ${owner} is closed`);
    if (signal.aborted) kill();
    else signal.addEventListener('abort', kill, { once: true });
    try {
      await warmUp?.(boundedWork({ place, worker }));
      return worker;
    } catch (error) {
      void worker.close();
      throw error;
    } finally {
      signal.removeEventListener('abort', kill);
    }
  }

  /** The `work` of a worker with its time limits: nothing else distinguishes a worker that hangs from a busy one. */
  function boundedWork({ place, worker }: Taken<W>): PoolWorker<W>['work'] {
    return async (work, tensors, signal) => {
      let isLate = false;
      const timers: NodeJS.Timeout[] = [];
      const killIn = (ms: number, how: string, before: () => void = () => {}): void => {
        const kill = (): void => {
          before();
          place.loss = 'hung';
          worker.kill(`killed: its task ${how} ${ms / 1000} s`);
        };
        timers.push(setTimeout(kill, ms));
      };
      const onAbort = (): void => {
        if (givenUpMs !== undefined) killIn(givenUpMs, 'was aborted and did not end within');
      };
      if (workMs !== undefined) {
        killIn(workMs, 'took longer than', () => {
          isLate = true;
        });
      }
      if (signal?.aborted) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
      try {
        return await worker.work(work, tensors, signal);
      } catch (error) {
        throw isLate && late !== undefined ? late() : error;
      } finally {
        for (const timer of timers) clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      }
    };
  }

  async function nextFree(signal?: AbortSignal): Promise<Taken<W>> {
    signal?.throwIfAborted();
    const free = places.find((place) => place.state === 'idle');
    if (free) return occupied(free);
    if (state() === 'down') throw unavailable();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        waiters = waiters.filter((each) => each !== waiter);
        reject(signal?.reason);
      };
      const settled = (act: () => void): void => {
        signal?.removeEventListener('abort', onAbort);
        act();
      };
      const waiter: Waiter<W> = {
        take: (place) => settled(() => resolve(occupied(place))),
        refuse: (error) => settled(() => reject(error)),
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      waiters.push(waiter);
    });
  }

  /** Called in the turn in which the place was found idle: nobody else may take it, and its worker may be lost in the next turn. */
  function occupied(place: Place<W>): Taken<W> {
    place.state = 'busy';
    return { place, worker: place.worker! };
  }

  /** Makes a worker available to the next task, unless it was lost meanwhile. */
  function release({ place, worker }: Taken<W>): void {
    if (place.worker !== worker || place.state !== 'busy') return;
    place.state = 'idle';
    changed();
  }

  /** Runs tasks on a worker and counts its busy time. */
  async function busyWith<T>(taken: Taken<W>, tasks: (work: PoolWorker<W>['work']) => Promise<T>): Promise<T> {
    const since = performance.now();
    try {
      return await tasks(boundedWork(taken));
    } finally {
      taken.place.busyMs += performance.now() - since;
    }
  }

  async function warmTaken(taken: Taken<W>, up: WarmWorker<W>): Promise<void> {
    try {
      await busyWith(taken, up);
    } finally {
      release(taken);
    }
  }

  async function doWork(work: W, tensors: NamedTensors, signal?: AbortSignal): Promise<NamedTensors> {
    const taken = await nextFree(signal);
    let suspect = false;
    try {
      return await busyWith(taken, (workOf) => workOf(work, tensors, signal));
    } catch (error) {
      // An aborted search ends with an error too.
      suspect = isRuntimeFailure(error) && signal?.aborted !== true;
      throw error;
    } finally {
      // Not awaited: the caller of the task gets its error immediately.
      if (suspect && check !== undefined && !nothingLeft()) void track(examine(taken, work, check));
      else release(taken);
    }
  }

  /**
   * Checks a worker whose task failed, before it takes another. After some errors, such as an illegal access on a GPU, the
   * runtime of a process never works again; that worker would fail fast, be idle most often and get the most tasks.
   */
  async function examine(taken: Taken<W>, failed: W, check: CheckWorker<W>): Promise<void> {
    const { place, worker } = taken;
    try {
      await busyWith(taken, (workOf) => check(workOf, failed));
    } catch (error) {
      // It died during the check, or exceeded its time and was killed.
      if (place.worker !== worker) return;
      log(`worker ${worker.pid} failed a task and then its check: ${errorMessage(error)}`);
      place.loss = 'broken';
      worker.kill('killed: its task failed, and then its check');
      return;
    }
    release(taken);
  }

  const restartsBy = (loss: WorkerLoss): number => places.reduce((sum, { restarts }) => sum + restarts[loss], 0);

  /** Keeps `close` waiting until the promise has settled. */
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
        workers: places.map(({ worker, state, busyMs, restarts }) => ({
          ...(worker && { pid: worker.pid }),
          state,
          rssBytes: worker?.rssBytes ?? 0,
          busySeconds: busyMs / 1000,
          restarts: { ...restarts },
        })),
        restarts: { died: restartsBy('died'), hung: restartsBy('hung'), broken: restartsBy('broken') },
        startFailures: { ...startFailures },
        busySeconds: places.reduce((sum, { busyMs }) => sum + busyMs, 0) / 1000,
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
      // An aborted task keeps its worker busy for a while.
      const done = track(doWork(work, tensors, signal));
      return signal ? untilAborted(done, signal) : done;
    },
    close() {
      closing ??= (async () => {
        await Promise.allSettled(running);
        clearTimeout(recovery);
        for (const { timer } of places) clearTimeout(timer);
        unwanted.abort();
        await Promise.all([...places.map(({ worker }) => worker?.close()), ...starting]);
      })();
      return closing;
    },
    terminate() {
      if (terminated) return;
      terminated = true;
      clearTimeout(recovery);
      unwanted.abort();
      for (const { refuse } of waiters.splice(0)) refuse(closed());
      for (const { timer, worker } of places) {
        clearTimeout(timer);
        worker?.kill(`killed: the ${owner} is closed and does not wait any longer`);
      }
    },
  };
}
