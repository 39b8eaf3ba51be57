import { Socket } from 'node:net';
import { createMessageReader, type NamedTensors, writeMessage } from './messageCodec.js';
import { errorMessage, type ProcessRequest, type ProcessResponse } from './messages.js';

/** The file descriptor that `workerProcess.ts` opens. */
const CHANNEL = 3;

/** What one kind of worker process does. */
export interface ProcessWork<Setup, Opened, W, Failure> {
  /** Makes the worker ready for tasks. */
  open(setup: Setup): Promise<{
    /** Sent to the process that started it. */
    readonly opened: Opened;
    /** @param signal aborted when the result is no longer wanted */
    work(work: W, tensors: NamedTensors, signal: AbortSignal): Promise<NamedTensors>;
    close(): Promise<void>;
  }>;
  /** Fields of an error of `work` or `open` that are sent in addition to its message. */
  failureOf(error: unknown): Failure;
}

/**
 * The main loop of a worker process: takes tasks from the process that started it, by messages on file descriptor 3, and does
 * one after the other. It ends when the descriptor is closed, so that it never outlives its parent. It ignores signals: a
 * terminal and systemd send theirs to workers too, and the parent decides when a worker ends.
 */
export function runWorkerLoop<Setup, Opened, W, Failure>(tasks: ProcessWork<Setup, Opened, W, Failure>): void {
  const ignore = (): void => {};
  process.on('SIGINT', ignore).on('SIGTERM', ignore).on('SIGHUP', ignore);

  const channel = new Socket({ fd: CHANNEL, readable: true, writable: true });
  const respond = (response: ProcessResponse<Opened, Failure>, tensors: NamedTensors = {}): void =>
    writeMessage(channel, response, tensors);
  const rssBytes = (): number => process.memoryUsage.rss();

  /** Makes the worker ready and reports it. */
  async function open(setup: Setup) {
    const ready = await tasks.open(setup);
    respond({ kind: 'ready', opened: ready.opened, rssBytes: rssBytes() });
    return ready;
  }

  let opening: ReturnType<typeof open> | undefined;
  /** Of tasks that wait or run, by their id. */
  const cancels = new Map<number, AbortController>();

  async function answer(id: number, work: W, tensors: NamedTensors): Promise<void> {
    try {
      const ready = await opening;
      if (ready === undefined) throw new Error('the worker was given work before it was opened');
      const { signal } = cancels.get(id)!;
      signal.throwIfAborted();
      const outputs = await ready.work(work, tensors, signal);
      respond({ kind: 'done', id, rssBytes: rssBytes() }, outputs);
    } catch (error) {
      const failure = tasks.failureOf(error);
      respond({ kind: 'error', id, rssBytes: rssBytes(), message: errorMessage(error), failure });
    } finally {
      cancels.delete(id);
    }
  }

  // One at a time, in order: interleaved runs would hold the maps of two batches in memory and finish no sooner.
  let last: Promise<void> = Promise.resolve();

  function take(request: ProcessRequest<Setup, W>, tensors: NamedTensors): void {
    if (request.kind === 'cancel') cancels.get(request.id)?.abort(new Error('cancelled'));
    else if (request.kind === 'work') {
      cancels.set(request.id, new AbortController());
      last = last.then(() => answer(request.id, request.work, tensors));
    } else {
      opening = open(request.setup);
      opening.catch((error: unknown) => {
        respond({ kind: 'failed', message: errorMessage(error), failure: tasks.failureOf(error) });
        channel.end();
      });
    }
  }

  channel.on(
    'data',
    createMessageReader<ProcessRequest<Setup, W>>(({ facts, tensors }) => take(facts, tensors)),
  );
  channel.on('end', async () => {
    await last;
    const ready = await opening?.catch(() => undefined);
    await ready?.close();
    channel.destroy();
  });
  // The parent was killed in the middle of a response; nobody is left to report to.
  channel.on('error', () => process.exit(1));
}
