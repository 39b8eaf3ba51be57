import type { Logger } from 'pino';
import { inOrder } from '../files/inOrder.js';
import type { ServeConfig } from '../serve/config/schema.js';
import type { ServeLimits } from '../serve/config/serveLimits.js';
import type { ModelSource } from '../serve/inference/registry.js';
import { warmEngine } from '../serve/inference/warmUp.js';
import { type ModelDir, openModelDir } from '../serve/operations/modelDir/modelDir.js';
import { bundledModelFolder } from './defaults.js';
import { openEngine } from './engine.js';
import { findModel } from './modelFolders.js';

/** The models of a configuration. */
export interface ServedModels {
  /** Those of `model`, by their place in it, then those of the models directory; the first is the default. */
  readonly sources: readonly ModelSource[];
  readonly modelDir: ModelDir | undefined;
}

/**
 * Opens and warms up every model of a configuration; the first is the default. Each can be reopened from its folder.
 * @throws ModelFolderError, EngineError, or ServeError if `inputSizes` do not fit a model, or no model of `modelDir` works; models that
 *   were opened are closed then.
 */
export async function openServedModels(
  { model, modelDir: dir, device, workers, threads, runSeconds }: ServeConfig,
  limits: ServeLimits,
  logger: Logger,
): Promise<ServedModels> {
  const flags = { device, workers, runSeconds, ...(threads !== undefined && { threads }) };
  const open = (folder: string) => openEngine(folder, flags, (message) => logger.info(message));
  const standard = dir === undefined ? [bundledModelFolder] : [];
  const folders = model === undefined ? standard : await inOrder(model, findModel);
  const opened: ModelSource[] = [];
  try {
    for (const folder of folders) {
      const reopen = () => open(folder);
      const engine = await reopen();
      opened.push({ engine, reopen });
      await warmEngine(engine, limits);
    }
    if (dir === undefined) return { sources: opened, modelDir: undefined };
    const modelDir = await openModelDir({ dir, open, logger, warm: (engine) => warmEngine(engine, limits) });
    return { sources: [...opened, ...modelDir.sources], modelDir };
  } catch (error) {
    await Promise.all(opened.map(({ engine }) => engine.close()));
    throw error;
  }
}
