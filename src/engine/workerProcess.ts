import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { MatchError } from '../match/matchError.js';
import { EngineError } from './engine.js';
import { createMessageReader, type Message, type NamedTensors, writeMessage } from './frames.js';
import type { Work, WorkerRequest, WorkerResponse, WorkerSetup } from './messages.js';

/** A worker with its model open. */
export interface WorkerProcess {
  readonly pid: number;
  readonly provider: 'cpu' | 'cuda';
  /** Why CUDA was tried and given up (device auto). */
  readonly cudaFailure?: string;
  /** Resident memory in bytes, as of the last answer. */
  readonly rssBytes: number;
  /** Resolves with how it ended, whenever it has. */
  readonly ended: Promise<string>;
  /**
   * Does one piece of work.
   * @param signal tells the worker that the answer is no longer wanted; the promise settles with its answer all the same
   * @throws EngineError `unavailable` where the worker dies first; else as the work fails.
   */
  work(work: Work, tensors: NamedTensors, signal?: AbortSignal): Promise<NamedTensors>;
  /** Ends a worker at once, whatever it does: its work fails with `how`, also where the process takes its time to go. */
  kill(how: string): void;
  /** Ends an idle worker; one that does not end is killed. */
  close(): Promise<void>;
}

/** A worker that ended before its model was open, whatever it was doing. */
export class WorkerEndedError extends EngineError {
  constructor(reason: string) {
    super('unavailable', `${reason} at its start`);
  }
}

/** How long a worker may take to end after its last answer, in ms: it only frees memory. */
const END_MS = 5_000;

/** How long a worker may take to open its model, in ms: far beyond the largest model from a slow disk. */
const OPEN_MS = 300_000;

const script = fileURLToPath(new URL('./onnxWorker.js', import.meta.url));

interface Pending {
  resolve(tensors: NamedTensors): void;
  reject(error: EngineError | MatchError): void;
}

/** Whether a child has its streams: where its parent may open no more files, spawn gives it none, whatever its type says. */
function hasStreams(child: ChildProcess): boolean {
  return (child.stdio as ChildProcess['stdio'] | undefined)?.[3] != null;
}

/**
 * Starts a worker process and waits until its model is open.
 * @param log told every line that it writes to stdout or stderr
 * @param openMs longest time for that; then it hangs, as with a device that does, and is killed
 * @throws EngineError `unavailable` where the graphs or the device cannot be used, or no process can be started.
 */
export async function startWorkerProcess(
  setup: WorkerSetup,
  log: (line: string) => void,
  openMs = OPEN_MS,
): Promise<WorkerProcess> {
  // execArgv is not inherited by spawn: flags of the parent such as --input-type do not suit a script.
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  const pending = new Map<number, Pending>();
  let nextId = 0;
  let rssBytes = 0;
  let end: string | undefined;
  let finish: (how: string) => void = () => {};
  const ended = new Promise<string>((resolve) => {
    finish = (how) => {
      end ??= how;
      const reason = `the inference worker ended (${end})`;
      // First: whoever hears of a failed piece of work must not give this worker another one.
      resolve(reason);
      for (const { reject } of pending.values()) reject(new EngineError('unavailable', reason));
      pending.clear();
    };
    // Before anything else is done with the child: an 'error' that nobody listens to ends this process.
    child.on('error', (error) => finish(error.message));
    child.on('exit', (code, signal) => finish(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
  if (!hasStreams(child)) {
    return ended.then((reason) => {
      const wayOut = 'close connections or raise the limit of open files (ulimit -n)';
      throw new EngineError('unavailable', `${reason} at its start: ${wayOut}`);
    });
  }
  const channel = child.stdio[3] as Socket;
  for (const stream of [child.stdout, child.stderr] as Readable[]) {
    createInterface({ input: stream }).on('line', (line) => log(`worker ${child.pid}: ${line}`));
  }
  // A worker that was killed breaks its channel; `ended` says so.
  channel.on('error', () => {});

  const send = (request: WorkerRequest, tensors?: NamedTensors): void => writeMessage(channel, request, tensors);

  function settle({ facts, tensors }: Message<WorkerResponse & { kind: 'done' | 'error' }>): void {
    rssBytes = facts.rssBytes;
    const work = pending.get(facts.id);
    pending.delete(facts.id);
    if (facts.kind === 'done') work?.resolve(tensors);
    else if (facts.match !== undefined) work?.reject(new MatchError(facts.match, facts.message));
    else work?.reject(new EngineError(facts.code, `inference failed: ${facts.message}`));
  }

  function work(what: Work, tensors: NamedTensors, signal?: AbortSignal): Promise<NamedTensors> {
    if (end !== undefined) return Promise.reject(new EngineError('unavailable', `the inference worker ended (${end})`));
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
    // Not waited for: a process that hangs in its device's driver ends when the driver lets it.
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
    const timer = setTimeout(() => kill(`killed: its model was not open in ${openMs / 1000} s`), openMs);
    ended.then(() => clearTimeout(timer));
    ended.then((reason) => reject(new WorkerEndedError(reason)));
    channel.on(
      'data',
      createMessageReader<WorkerResponse>(({ facts, tensors }) => {
        clearTimeout(timer);
        if (facts.kind === 'failed') reject(new EngineError('unavailable', facts.message));
        else if (facts.kind === 'ready') {
          ({ rssBytes } = facts);
          const { provider, cudaFailure } = facts;
          resolve({
            pid: child.pid!,
            provider,
            ...(cudaFailure !== undefined && { cudaFailure }),
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
  });
}
