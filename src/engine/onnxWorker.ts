/**
 * A worker process of the ONNX engine: owns the sessions and runs one task after the other. `session.run` blocks the thread
 * that calls it, and a native crash inside it ends the process. In a process of its own, both affect this worker alone.
 */
import { MatchError } from '../match/matchError.js';
import { ModelFolderError } from '../models/modelFolderError.js';
import { inferBatch, runFailureCode } from './inference.js';
import type { NamedTensors } from './messageCodec.js';
import { errorMessage, type OpenedModel, type Work, type WorkerSetup, type WorkFailure } from './messages.js';
import { createSearch } from './search.js';
import { openSessions } from './sessions.js';
import { runWorkerLoop } from './workerLoop.js';

runWorkerLoop<WorkerSetup, OpenedModel, Work, WorkFailure>({
  async open(setup) {
    const { sessions, ...opened } = await openSessions(setup);
    const search = createSearch(setup.threads);
    return {
      opened,
      async work(work, tensors, signal) {
        if (work.kind === 'nearest') return search.search(tensors, signal);
        return (await inferBatch(sessions, tensors['images']!, work.wants)) as NamedTensors;
      },
      async close() {
        for (const session of Object.values(sessions)) await session.release();
        await search.close();
      },
    };
  },
  failureOf(error) {
    const code = runFailureCode(errorMessage(error));
    if (error instanceof MatchError) return { code, match: error.code };
    return error instanceof ModelFolderError ? { code, modelChanged: true } : { code };
  },
});
