import type { ModelFolder } from '../models/folder.js';
import type { WorkerSetup } from './messages.js';

/** What a worker needs to open the model of a verified folder. */
export function workerSetup(
  { dir, manifest }: Pick<ModelFolder, 'dir' | 'manifest'>,
  device: WorkerSetup['device'],
  threads: number,
): WorkerSetup {
  const { graphs, files } = manifest;
  return {
    dir,
    graphs: {
      backbone: graphs.backbone,
      ...(graphs.localProjector !== undefined && { localProjector: graphs.localProjector }),
      ...(graphs.expander !== undefined && { expander: graphs.expander }),
    },
    files,
    device,
    threads,
  };
}
