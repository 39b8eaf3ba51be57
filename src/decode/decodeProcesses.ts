import { createWorkerPool } from '../engine/workerPool.js';
import { startProcess, type WorkerKind } from '../engine/workerProcess.js';
import { ImageError } from '../image/imageError.js';
import { type Decoder, DecoderError } from './decoder.js';
import { type DecodeFailure, type DecodeWork, inputQuestion, maskQuestion, readInput, readMask } from './messages.js';

export interface DecodeProcessOptions {
  /** Processes, each of which decodes one picture at a time. */
  readonly processes: number;
  /** Longest time in seconds that one picture may take; its process is killed then. */
  readonly seconds: number;
  /** Told what processes print, and of their deaths. */
  readonly log: (message: string) => void;
}

/** After its call has ended a picture may go on for so long, in ms: a new process costs more than most pictures. */
const GIVEN_UP_MS = 1000;

/** How long a process may take to be ready, in ms: a thousand times what it takes. */
const OPEN_MS = 60_000;

/** By which native code ends its own process. */
const CRASHES: ReadonlySet<NodeJS.Signals> = new Set([
  'SIGSEGV',
  'SIGABRT',
  'SIGBUS',
  'SIGILL',
  'SIGFPE',
  'SIGTRAP',
  'SIGSYS',
]);

function lost(reason: string, signal?: NodeJS.Signals): DecoderError {
  if (signal !== undefined && CRASHES.has(signal)) {
    return new DecoderError('crashed', `${reason} at this image; convert it to another format before it is sent again`);
  }
  return new DecoderError('unavailable', `${reason}; try again later`);
}

const kind: WorkerKind<DecodeFailure> = {
  name: 'decode process',
  script: new URL('./decodeWorker.js', import.meta.url),
  // One picture at a time needs one thread; each more would have an arena of memory of its own.
  environment: { UV_THREADPOOL_SIZE: '1' },
  lost,
  unready: (message) => lost(message),
  failed: (message, { code }) => (code === undefined ? new Error(message) : new ImageError(code, message)),
};

/**
 * Starts processes that decode, one picture each at a time. One that dies fails its picture and is replaced at once; one that
 * takes longer than it may, or than a second beyond the end of its call, is killed and replaced. No other picture is touched.
 * @throws DecoderError `unavailable` where they cannot be started.
 */
export async function startDecodeProcesses({ processes, seconds, log }: DecodeProcessOptions): Promise<Decoder> {
  const start = () => startProcess<null, null, DecodeWork, DecodeFailure>(kind, null, log, OPEN_MS);
  const started = await Promise.allSettled(Array.from({ length: processes }, start));
  const workers = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const failure = started.find((each) => each.status === 'rejected');
  if (failure) {
    await Promise.all(workers.map((worker) => worker.close()));
    throw failure.reason;
  }
  const pool = createWorkerPool<DecodeWork>({
    owner: 'decoder',
    name: kind.name,
    workers,
    start,
    workMs: seconds * 1000,
    late: () =>
      new ImageError(
        'too_large',
        `image takes longer than ${seconds} s to decode and resize (decodeSeconds); send a smaller one, or another format`,
      ),
    givenUpMs: GIVEN_UP_MS,
    // What is said of these processes is in our own words, without paths.
    lost: (_, told) => lost(told),
    blamesWork: true,
    log,
  });
  return {
    get status() {
      return pool.status;
    },
    watch: pool.watch,
    async input(picture, { limits, ...wanted }, signal) {
      // The pool has the clock.
      const { decodeSeconds: _, ...image } = limits.image;
      const { work, tensors } = inputQuestion(picture, { ...wanted, limits: { ...limits, image } });
      return readInput(await pool.work(work, tensors, signal));
    },
    async mask(png, size, signal) {
      const { width, height } = size;
      return readMask(await pool.work({ kind: 'mask', size: { width, height } }, maskQuestion(png), signal));
    },
    close: pool.close,
    terminate: pool.terminate,
  };
}
