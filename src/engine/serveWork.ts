import { Socket } from 'node:net';
import { createMessageReader, type NamedTensors, writeMessage } from './frames.js';
import { messageOf } from './messageOf.js';
import type { ProcessRequest, ProcessResponse } from './messages.js';

/** The descriptor that `workerProcess.ts` opens. */
const CHANNEL = 3;

/** What a worker process does. */
export interface ProcessWork<Setup, Opened, W, Failure> {
  /** Makes it ready: it is given work from then on. */
  open(setup: Setup): Promise<{
    /** What to tell of it. */
    readonly opened: Opened;
    /** @param signal aborted when the answer is no longer wanted */
    work(work: W, tensors: NamedTensors, signal: AbortSignal): Promise<NamedTensors>;
    close(): Promise<void>;
  }>;
  /** What is told of an error beside its message: of work, or of `open`. */
  failureOf(error: unknown): Failure;
}

/**
 * Serves the process that started this one, over frames on file descriptor 3, one piece of work after the other. It ends when that
 * is closed, so that it never outlives its starter. Signals are left to that process: a terminal and systemd send theirs to
 * workers too, in the middle of their work.
 */
export function serveWork<Setup, Opened, W, Failure>(tasks: ProcessWork<Setup, Opened, W, Failure>): void {
  const ignore = (): void => {};
  process.on('SIGINT', ignore).on('SIGTERM', ignore).on('SIGHUP', ignore);

  const channel = new Socket({ fd: CHANNEL, readable: true, writable: true });
  const respond = (response: ProcessResponse<Opened, Failure>, tensors: NamedTensors = {}): void =>
    writeMessage(channel, response, tensors);
  const rssBytes = (): number => process.memoryUsage.rss();

  /** Opens and tells so. */
  async function open(setup: Setup) {
    const ready = await tasks.open(setup);
    respond({ kind: 'ready', opened: ready.opened, rssBytes: rssBytes() });
    return ready;
  }

  let opening: ReturnType<typeof open> | undefined;
  /** Ends work that waits or is done, by its id. */
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

  // One at a time, in order: interleaved runs would hold two batches' maps in memory and finish no sooner.
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
  // Broken where the parent was killed in the middle of an answer; nobody is left to be told.
  channel.on('error', () => process.exit(1));
}
