import { inOrder } from '../files/inOrder.js';
import type { ServeConfig } from '../serve/config/schema.js';
import type { ServeLimits } from '../serve/config/serveLimits.js';
import type { ModelSource } from '../serve/inference/registry.js';
import { warmEngine } from '../serve/inference/warmUp.js';
import { bundledModelFolder } from './defaults.js';
import { openEngine } from './engine.js';
import { findModel } from './modelFolders.js';

/**
 * Opens and warms up every model of a configuration; the first is the default. Each can be reopened from its folder.
 * @throws ModelFolderError, EngineError, or ServeError if `inputSizes` do not fit a model; models that were opened are closed then.
 */
export async function openServedModels(
  { model, device, workers, threads, runSeconds }: ServeConfig,
  limits: ServeLimits,
  log: (message: string) => void,
): Promise<ModelSource[]> {
  const folders = model === undefined ? [bundledModelFolder] : await inOrder(model, findModel);
  const opened: ModelSource[] = [];
  try {
    for (const folder of folders) {
      const flags = { device, workers, runSeconds, ...(threads !== undefined && { threads }) };
      const reopen = () => openEngine(folder, flags, log);
      const engine = await reopen();
      opened.push({ engine, reopen });
      await warmEngine(engine, limits);
    }
    return opened;
  } catch (error) {
    await Promise.all(opened.map(({ engine }) => engine.close()));
    throw error;
  }
}
