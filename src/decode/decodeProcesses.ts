import { createWorkerPool } from '../engine/workerPool.js';
import { startProcess, type WorkerKind } from '../engine/workerProcess.js';
import { ImageError } from '../image/imageError.js';
import { type Decoder, DecoderError } from './decoder.js';
import { type DecodeFailure, type DecodeWork, inputQuestion, maskQuestion, readInput, readMask } from './messages.js';

export interface DecodeProcessOptions {
  /** Number of processes; each decodes one image at a time. */
  readonly processes: number;
  /** Maximum time of one image in seconds; after that its process is killed. */
  readonly seconds: number;
  /** Receives the output of the processes, and messages about their deaths. */
  readonly log: (message: string) => void;
}

/** Time in ms for which decoding may continue after its call has ended. A new process costs more time than most images. */
const GIVEN_UP_MS = 1000;

/** Start timeout of a process in ms, a thousand times the usual duration. */
const OPEN_MS = 60_000;

/** Signals that indicate a native crash. */
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
    return new DecoderError(
      'crashed',
      `${reason} while decoding this image; convert it to another format before you send it again`,
    );
  }
  return new DecoderError('unavailable', `${reason}; try again later`);
}

const kind: WorkerKind<DecodeFailure> = {
  name: 'decode process',
  script: new URL('./decodeWorker.js', import.meta.url),
  // One image at a time needs one thread; each further thread would have its own memory arena.
  environment: { UV_THREADPOOL_SIZE: '1' },
  lost,
  unready: (message) => lost(message),
  failed: (message, { code }) => (code === undefined ? new Error(message) : new ImageError(code, message)),
};

/**
 * Starts processes that decode one image at a time each. If a process dies, its image fails and the process is replaced
 * immediately. A process that exceeds the time limit, or continues for more than a second after its call has ended, is killed and
 * replaced. Other images are not affected.
 * @throws DecoderError `unavailable` if the processes cannot be started.
 */
export async function startDecodeProcesses({ processes, seconds, log }: DecodeProcessOptions): Promise<Decoder> {
  const start = (signal?: AbortSignal) =>
    startProcess<null, null, DecodeWork, DecodeFailure>(kind, null, log, { openMs: OPEN_MS, signal });
  const started = await Promise.allSettled(Array.from({ length: processes }, () => start()));
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
    start: (_place, signal) => start(signal),
    workMs: seconds * 1000,
    late: () =>
      new ImageError(
        'too_large',
        `image takes longer than ${seconds} s to decode and resize (decodeSeconds); send a smaller one, or another format`,
      ),
    givenUpMs: GIVEN_UP_MS,
    // The public message is our own text, without paths.
    lost: (_, publicReason) => lost(publicReason),
    blamesWork: true,
    log,
  });
  return {
    get status() {
      return pool.status;
    },
    watch: pool.watch,
    async input(picture, { limits, ...wanted }, signal) {
      // The pool enforces the time limit.
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
