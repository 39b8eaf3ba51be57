import { EngineError, type EngineStatus, type WorkerStatus } from './engine.js';
import type { NamedTensors } from './frames.js';
import type { Work } from './messages.js';
import type { WorkerProcess } from './workerProcess.js';

/** Workers that do the same work, of which the dead are replaced. */
export interface WorkerPool {
  readonly status: EngineStatus;
  /** Workers that would begin work at once. */
  readonly idle: number;
  /** @returns ends the telling of changes of `idle` and `status.state` */
  watch(listener: () => void): () => void;
  /**
   * Has work done by the next free worker; those that wait are served in order.
   * @throws the signal's reason as soon as it is aborted; the worker is free again when it has noticed.
   */
  work(work: Work, tensors: NamedTensors, signal?: AbortSignal): Promise<NamedTensors>;
  /** Finishes all work, then ends the workers. */
  close(): Promise<void>;
}

/** What the pool needs of a worker. */
export type PoolWorker = Pick<WorkerProcess, 'pid' | 'rssBytes' | 'ended' | 'work' | 'close'>;

export interface WorkerPoolOptions {
  /** The workers to begin with; as many are kept. */
  readonly workers: readonly PoolWorker[];
  /** Starts one in the place of a dead one. */
  readonly start: () => Promise<PoolWorker>;
  /** Told of deaths, failed starts and replacements. */
  readonly log: (message: string) => void;
  /** Pauses between tries, in ms. */
  readonly backOff?: BackOff;
}

export interface BackOff {
  /** Before the second try; doubles with each further one. The first replacement is started at once. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** A worker that lived for so long was well: its death is followed by a start at once. */
  readonly wellMs: number;
}

const defaultBackOff: BackOff = { firstMs: 250, longestMs: 30_000, wellMs: 10_000 };

/** The place of one worker. */
interface Place {
  worker: PoolWorker | undefined;
  state: WorkerStatus['state'];
  /** Deaths and failed starts in a row. */
  failures: number;
  timer?: NodeJS.Timeout;
}

interface Waiter {
  take(place: Place): void;
  refuse(error: EngineError): void;
}

/** Settles as the work does, or rejects with the signal's reason as soon as it is aborted. */
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

export function createWorkerPool(options: WorkerPoolOptions): WorkerPool {
  const { start, log, backOff = defaultBackOff } = options;
  const listeners = new Set<() => void>();
  let waiters: Waiter[] = [];
  let restarts = 0;
  let busyMs = 0;
  let reason: string | undefined;
  let closing: Promise<void> | undefined;
  const running = new Set<Promise<unknown>>();
  const places = options.workers.map((): Place => ({ worker: undefined, state: 'starting', failures: 0 }));
  for (const [i, place] of places.entries()) occupy(place, options.workers[i]!);

  const count = (...states: WorkerStatus['state'][]): number =>
    places.filter(({ state }) => states.includes(state)).length;

  function state(): EngineStatus['state'] {
    const standing = count('idle', 'busy');
    if (standing === places.length) return 'ready';
    if (standing > 0) return 'degraded';
    return count('starting') > 0 ? 'recovering' : 'down';
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

  const unavailable = (): EngineError =>
    new EngineError(
      'unavailable',
      `no inference worker stands (${reason ?? 'none was started'}); another is on its way`,
    );

  function occupy(place: Place, worker: PoolWorker): void {
    place.worker = worker;
    place.state = 'idle';
    const since = performance.now();
    worker.ended.then((how) => {
      if (closing !== undefined && place.state === 'idle') return;
      if (performance.now() - since >= backOff.wellMs) place.failures = 0;
      lose(place, how);
    });
  }

  /** A worker died or could not start: tries again, at once the first time. */
  function lose(place: Place, how: string): void {
    reason = how;
    place.worker = undefined;
    const pause = place.failures === 0 ? 0 : Math.min(backOff.longestMs, backOff.firstMs * 2 ** (place.failures - 1));
    place.failures++;
    log(`${how}; another is started ${pause === 0 ? 'now' : `in ${pause} ms`}`);
    if (pause === 0) replace(place);
    else {
      place.state = 'failed';
      place.timer = setTimeout(() => replace(place), pause);
    }
    changed();
  }

  function replace(place: Place): void {
    place.state = 'starting';
    const since = performance.now();
    start().then(
      (worker) => {
        if (closing !== undefined && waiters.length === 0) {
          place.state = 'failed';
          void worker.close();
          return;
        }
        restarts++;
        occupy(place, worker);
        log(`worker ${worker.pid} took the place of a dead one after ${Math.round(performance.now() - since)} ms`);
        changed();
      },
      (error: unknown) => lose(place, error instanceof Error ? error.message : String(error)),
    );
    if (place.failures > 1) changed();
  }

  async function nextFree(signal?: AbortSignal): Promise<Place> {
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
      const waiter: Waiter = {
        take: (place) => settled(() => resolve(occupied(place))),
        refuse: (error) => settled(() => reject(error)),
      };
      signal?.addEventListener('abort', leave, { once: true });
      waiters.push(waiter);
    });
  }

  /** Taken in the same turn in which it was found idle: nobody else may find it so. */
  function occupied(place: Place): Place {
    place.state = 'busy';
    return place;
  }

  async function doWork(work: Work, tensors: NamedTensors, signal?: AbortSignal): Promise<NamedTensors> {
    const place = await nextFree(signal);
    const worker = place.worker!;
    const since = performance.now();
    try {
      return await worker.work(work, tensors, signal);
    } finally {
      busyMs += performance.now() - since;
      if (place.worker === worker && place.state === 'busy') {
        place.state = 'idle';
        changed();
      }
    }
  }

  return {
    get status() {
      const now = state();
      return {
        state: now,
        ...(now !== 'ready' && reason !== undefined && { reason }),
        workers: places.map(({ worker, state }) => ({
          ...(worker && { pid: worker.pid }),
          state,
          rssBytes: worker?.rssBytes ?? 0,
        })),
        restarts,
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
    async work(work, tensors, signal) {
      if (closing !== undefined) throw new EngineError('unavailable', 'the engine is closed');
      const done = doWork(work, tensors, signal);
      running.add(done);
      try {
        return await (signal ? untilAborted(done, signal) : done);
      } finally {
        // Work that was given up still keeps its worker busy for a while.
        void done.catch(() => {}).finally(() => running.delete(done));
      }
    },
    close() {
      closing ??= (async () => {
        await Promise.allSettled(running);
        for (const { timer } of places) clearTimeout(timer);
        await Promise.all(places.map(({ worker }) => worker?.close()));
      })();
      return closing;
    },
  };
}
