import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { MatchError } from '../match/matchError.js';
import { EngineError } from './engine.js';
import { createMessageReader, type Message, type NamedTensors, writeMessage } from './messageCodec.js';
import type { OpenedModel, ProcessRequest, ProcessResponse, Work, WorkerSetup, WorkFailure } from './messages.js';

/** A worker process that is ready for tasks. */
export interface WorkerProcess<W = Work> {
  readonly pid: number;
  /** Resident memory in bytes, as of the last response. */
  readonly rssBytes: number;
  /** Resolves when the process has ended, with how it ended; the text may be shown to callers. */
  readonly ended: Promise<string>;
  /**
   * Does one task.
   * @param signal tells the worker that the result is no longer wanted; the promise still settles with the worker's response
   * @throws the error of `WorkerKind.lost` if the worker dies first, that of `WorkerKind.failed` if the task fails.
   */
  work(work: W, tensors: NamedTensors, signal?: AbortSignal): Promise<NamedTensors>;
  /** Kills the worker. Its task fails immediately with `how`, even while the process still exists. */
  kill(how: string): void;
  /** Ends an idle worker; kills it where it does not end. */
  close(): Promise<void>;
}

/** A worker with its model open. */
export type InferenceProcess = WorkerProcess & OpenedModel;

/** A kind of worker. */
export interface WorkerKind<Failure> {
  /** Its name in messages, such as "inference worker". */
  readonly name: string;
  /** The script that calls `runWorkerLoop`. */
  readonly script: URL;
  /** Environment variables in addition to those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
  /**
   * The error of a task whose worker ended, or of a worker that could not start.
   * @param signal that ended the worker; absent if it exited, or was killed by `kill`
   */
  readonly lost: (reason: string, signal?: NodeJS.Signals) => Error;
  /** The error of a worker that could not be made ready. */
  readonly unready: (message: string, failure: Failure) => Error;
  /** The error of a task that failed. */
  readonly failed: (message: string, failure: Failure) => Error;
}

/** How long a worker may take to end after its last response, in ms: it only frees memory. */
const END_MS = 5_000;

/** How long a worker may take to open its model, in ms: far more than the largest model from a slow disk takes. */
const OPEN_MS = 300_000;

interface Pending {
  resolve(tensors: NamedTensors): void;
  reject(error: Error): void;
}

/** Whether a child process has its streams. Where the parent may open no more files, spawn creates none, whatever its type says. */
function hasStreams(child: ChildProcess): boolean {
  return (child.stdio as ChildProcess['stdio'] | undefined)?.[3] != null;
}

export interface StartOptions {
  /** Longest time in ms until it is ready, after which it is killed: a device may hang. Default: five minutes. */
  readonly openMs?: number;
  /** Kills it if it is aborted before it is ready. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts a worker process and waits until it is ready.
 * @param setup sent to it at its start
 * @param log called with every line that it writes to stdout or stderr
 * @throws `WorkerKind.unready` if it cannot be made ready, `WorkerKind.lost` if it ends or no process can be started.
 */
export async function startProcess<Setup, Opened, W, Failure>(
  kind: WorkerKind<Failure>,
  setup: Setup,
  log: (line: string) => void,
  { openMs = OPEN_MS, signal }: StartOptions = {},
): Promise<WorkerProcess<W> & { readonly opened: Opened }> {
  // spawn does not inherit execArgv, since flags of the parent such as --input-type do not apply to a script.
  const child = spawn(process.execPath, [fileURLToPath(kind.script)], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    ...(kind.environment && { env: { ...process.env, ...kind.environment } }),
  });
  const pending = new Map<number, Pending>();
  let nextId = 0;
  let rssBytes = 0;
  let end: Error | undefined;
  let finish: (how: string, signal?: NodeJS.Signals) => void = () => {};
  const ended = new Promise<string>((resolve) => {
    finish = (how, signal) => {
      if (end !== undefined) return;
      const reason = `the ${kind.name} ended (${how})`;
      end = kind.lost(reason, signal);
      // First: a caller whose task has failed must not give this worker another one.
      resolve(reason);
      for (const { reject } of pending.values()) reject(end);
      pending.clear();
    };
    // Before anything else is done with the child: an 'error' event without a listener ends this process.
    child.on('error', (error: NodeJS.ErrnoException) => {
      // The message names a path of this machine, and callers see how a worker ended: they get the code alone.
      log(`${kind.name}: ${error.message}`);
      finish(error.code ?? 'error');
    });
    child.on('exit', (code, signal) => {
      if (signal === null) finish(`exit code ${code}`);
      else finish(`signal ${signal}`, signal);
    });
  });
  if (!hasStreams(child)) {
    return ended.then((reason) => {
      const remedy = 'close connections or raise the limit of open files (ulimit -n)';
      throw kind.lost(`${reason} at its start: ${remedy}`);
    });
  }
  const channel = child.stdio[3] as Socket;
  for (const stream of [child.stdout, child.stderr] as Readable[]) {
    createInterface({ input: stream }).on('line', (line) => log(`${kind.name} ${child.pid}: ${line}`));
  }
  // The channel of a killed worker breaks; `ended` reports its end.
  channel.on('error', () => {});

  const send = (request: ProcessRequest<Setup, W>, tensors?: NamedTensors): void =>
    writeMessage(channel, request, tensors);

  function settle({ facts, tensors }: Message<ProcessResponse<Opened, Failure> & { kind: 'done' | 'error' }>): void {
    rssBytes = facts.rssBytes;
    const work = pending.get(facts.id);
    pending.delete(facts.id);
    if (facts.kind === 'done') work?.resolve(tensors);
    else work?.reject(kind.failed(facts.message, facts.failure));
  }

  function work(what: W, tensors: NamedTensors, signal?: AbortSignal): Promise<NamedTensors> {
    if (end !== undefined) return Promise.reject(end);
    const id = nextId++;
    const cancel = (): void => send({ kind: 'cancel', id });
    return new Promise<NamedTensors>((resolve, reject) => {
      pending.set(id, { resolve, reject });
      send({ kind: 'work', id, work: what }, tensors);
      if (signal?.aborted) cancel();
      else signal?.addEventListener('abort', cancel, { once: true });
    }).finally(() => signal?.removeEventListener('abort', cancel));
  }

  function kill(how: string): void {
    // Not awaited: a process that hangs in a device driver ends when the driver allows it.
    child.kill('SIGKILL');
    finish(how);
  }

  async function close(): Promise<void> {
    channel.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
    await ended;
    clearTimeout(timer);
  }

  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => kill(`killed: it was not ready within ${openMs / 1000} s`), openMs);
    const onAbort = (): void => kill('killed: it was no longer wanted');
    const begun = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    ended.then(begun);
    ended.then((reason) => reject(kind.lost(`${reason} at its start`)));
    channel.on(
      'data',
      createMessageReader<ProcessResponse<Opened, Failure>>(({ facts, tensors }) => {
        begun();
        if (facts.kind === 'failed') {
          reject(kind.unready(facts.message, facts.failure));
          // It ends by itself, unless a driver keeps it.
          void close();
        } else if (facts.kind === 'ready') {
          ({ rssBytes } = facts);
          resolve({
            pid: child.pid!,
            opened: facts.opened,
            get rssBytes() {
              return rssBytes;
            },
            ended,
            work,
            kill,
            close,
          });
        } else settle({ facts, tensors });
      }),
    );
    send({ kind: 'open', setup });
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** An inference worker ended, at its start or during a task. The message may be shown to callers. */
export class WorkerEndedError extends EngineError {
  constructor(reason: string) {
    super('unavailable', reason, { publicMessage: reason });
  }
}

/** Why a worker could not open its model. */
function startError(message: string, { modelChanged }: WorkFailure): EngineError {
  if (!modelChanged) return new EngineError('unavailable', message, { startFailure: 'other' });
  const changed = 'the files of the model have changed since they were verified at loading';
  return new EngineError('unavailable', `${changed} (${message}); restore them, or reload the model`, {
    publicMessage: changed,
    startFailure: 'model_changed',
  });
}

const inference: WorkerKind<WorkFailure> = {
  name: 'inference worker',
  script: new URL('./onnxWorker.js', import.meta.url),
  lost: (reason) => new WorkerEndedError(reason),
  unready: startError,
  failed: (message, { code, match }) =>
    match === undefined ? new EngineError(code, `inference failed: ${message}`) : new MatchError(match, message),
};

/**
 * Starts an inference worker and waits until its model is open.
 * @throws EngineError `unavailable` if the graphs or the device cannot be used, or no process can be started.
 */
export async function startWorkerProcess(
  setup: WorkerSetup,
  log: (line: string) => void,
  options?: StartOptions,
): Promise<InferenceProcess> {
  const started = await startProcess<WorkerSetup, OpenedModel, Work, WorkFailure>(inference, setup, log, options);
  // Not by a spread, which would read `rssBytes` once.
  return Object.assign(started, started.opened);
}
