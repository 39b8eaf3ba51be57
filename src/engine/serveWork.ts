import { Socket } from 'node:net';
import { createMessageReader, type NamedTensors, writeMessage } from './frames.js';
import { messageOf } from './messageOf.js';
import type { ProcessRequest, ProcessResponse } from './messages.js';

/** The descriptor that `workerProcess.ts` opens. */
const CHANNEL = 3;

/** The work of a worker process. */
export interface ProcessWork<Setup, Opened, W, Failure> {
  /** Makes it ready to receive work. */
  open(setup: Setup): Promise<{
    /** What to report about it. */
    readonly opened: Opened;
    /** @param signal aborted when the answer is no longer needed */
    work(work: W, tensors: NamedTensors, signal: AbortSignal): Promise<NamedTensors>;
    close(): Promise<void>;
  }>;
  /** What is reported about an error of work or of `open`, in addition to its message. */
  failureOf(error: unknown): Failure;
}

/**
 * Serves the parent process over frames on file descriptor 3, one piece of work after the other. It exits when that channel is
 * closed, so that it never outlives its parent. It ignores signals, since a terminal and systemd also send them to workers in the
 * middle of their work.
 */
export function serveWork<Setup, Opened, W, Failure>(tasks: ProcessWork<Setup, Opened, W, Failure>): void {
  const ignore = (): void => {};
  process.on('SIGINT', ignore).on('SIGTERM', ignore).on('SIGHUP', ignore);

  const channel = new Socket({ fd: CHANNEL, readable: true, writable: true });
  const respond = (response: ProcessResponse<Opened, Failure>, tensors: NamedTensors = {}): void =>
    writeMessage(channel, response, tensors);
  const rssBytes = (): number => process.memoryUsage.rss();

  /** Opens the model and reports it. */
  async function open(setup: Setup) {
    const ready = await tasks.open(setup);
    respond({ kind: 'ready', opened: ready.opened, rssBytes: rssBytes() });
    return ready;
  }

  let opening: ReturnType<typeof open> | undefined;
  /** Cancels waiting or running work by its id. */
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
      respond({ kind: 'error', id, rssBytes: rssBytes(), message: messageOf(error), failure });
    } finally {
      cancels.delete(id);
    }
  }

  // One at a time, in order: interleaved runs would hold the maps of two batches in memory and not finish earlier.
  let last: Promise<void> = Promise.resolve();

  function take(request: ProcessRequest<Setup, W>, tensors: NamedTensors): void {
    if (request.kind === 'cancel') cancels.get(request.id)?.abort(new Error('cancelled'));
    else if (request.kind === 'work') {
      cancels.set(request.id, new AbortController());
      last = last.then(() => answer(request.id, request.work, tensors));
    } else {
      opening = open(request.setup);
      opening.catch((error: unknown) => {
        respond({ kind: 'failed', message: messageOf(error), failure: tasks.failureOf(error) });
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
  // Broken if the parent was killed in the middle of an answer; there is nobody to notify.
  channel.on('error', () => process.exit(1));
}
