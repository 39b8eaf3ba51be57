/**
 * A worker process of the ONNX engine: owns the sessions and does one piece of work after the other. `session.run` blocks
 * the thread that calls it, and a native crash inside it ends the process: here both cost this worker alone.
 *
 * It speaks frames over file descriptor 3 and ends when that is closed, so that it never outlives the process that
 * started it. Signals are left to that process: a terminal and systemd send theirs to workers too, in the middle of runs.
 */
import { Socket } from 'node:net';
import { MatchError } from '../match/matchError.js';
import { ModelFolderError } from '../models/modelFolderError.js';
import { createMessageReader, type NamedTensors, writeMessage } from './frames.js';
import { inferBatch, runFailureCode } from './inference.js';
import { messageOf } from './messageOf.js';
import type { Work, WorkerRequest, WorkerResponse } from './messages.js';
import { createSearch } from './search.js';
import { openSessions } from './sessions.js';

/** The descriptor that `workerProcess.ts` opens. */
const CHANNEL = 3;

const ignore = (): void => {};
process.on('SIGINT', ignore).on('SIGTERM', ignore).on('SIGHUP', ignore);

const channel = new Socket({ fd: CHANNEL, readable: true, writable: true });
const respond = (response: WorkerResponse, tensors: NamedTensors = {}): void =>
  writeMessage(channel, response, tensors);

const rssBytes = (): number => process.memoryUsage.rss();

/** Opens the model and tells so; does work from then on. */
async function open({ setup }: WorkerRequest & { kind: 'open' }) {
  const { sessions, ...facts } = await openSessions(setup);
  const search = createSearch(setup.threads);
  respond({ kind: 'ready', ...facts, rssBytes: rssBytes() });
  return {
    async work(work: Work, tensors: NamedTensors, signal: AbortSignal): Promise<NamedTensors> {
      signal.throwIfAborted();
      if (work.kind === 'nearest') return search.search(tensors, signal);
      return (await inferBatch(sessions, tensors['images']!, work.wants)) as NamedTensors;
    },
    async close() {
      for (const session of Object.values(sessions)) await session.release();
      await search.close();
    },
  };
}

let opened: ReturnType<typeof open> | undefined;
/** Ends work that waits or is done, by its id. */
const cancels = new Map<number, AbortController>();

async function answer({ id, work }: WorkerRequest & { kind: 'work' }, tensors: NamedTensors): Promise<void> {
  try {
    const model = await opened;
    if (model === undefined) throw new Error('the worker was given work before a model');
    const outputs = await model.work(work, tensors, cancels.get(id)!.signal);
    respond({ kind: 'done', id, rssBytes: rssBytes() }, outputs);
  } catch (error) {
    const message = messageOf(error);
    const match = error instanceof MatchError ? { match: error.code } : {};
    respond({ kind: 'error', id, rssBytes: rssBytes(), code: runFailureCode(message), message, ...match });
  } finally {
    cancels.delete(id);
  }
}

// One at a time, in order: interleaved runs would hold two batches' maps in memory and finish no sooner.
let last: Promise<void> = Promise.resolve();

function take(request: WorkerRequest, tensors: NamedTensors): void {
  if (request.kind === 'cancel') cancels.get(request.id)?.abort(new Error('cancelled'));
  else if (request.kind === 'work') {
    cancels.set(request.id, new AbortController());
    last = last.then(() => answer(request, tensors));
  } else {
    opened = open(request);
    opened.catch((error: unknown) => {
      respond({ kind: 'failed', message: messageOf(error), modelChanged: error instanceof ModelFolderError });
      channel.end();
    });
  }
}

channel.on(
  'data',
  createMessageReader<WorkerRequest>(({ facts, tensors }) => take(facts, tensors)),
);
channel.on('end', async () => {
  await last;
  const model = await opened?.catch(() => undefined);
  await model?.close();
  channel.destroy();
});
// Broken where the parent was killed in the middle of an answer; nobody is left to be told.
channel.on('error', () => process.exit(1));
