import type { Logger } from 'pino';
import type { Engine } from '../engine/engine.js';
import { inOrder } from '../files/inOrder.js';
import { readManifestFile } from '../models/folder.js';
import { ServeError } from '../serve/call/serveError.js';
import type { ServeConfig } from '../serve/config/schema.js';
import type { ServeLimits } from '../serve/config/serveLimits.js';
import { type ModelSource, modelLabel } from '../serve/inference/registry.js';
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
 * The labels of model folders, read before any worker is started for them.
 * @throws ServeError `invalid_argument` naming the folders with the same name and version, or ModelFolderError.
 */
async function distinctLabels(folders: readonly string[]): Promise<string[]> {
  const labels: string[] = [];
  for (const folder of folders) {
    const label = modelLabel({ engine: { manifest: await readManifestFile(folder) } });
    const first = labels.indexOf(label);
    if (first >= 0) {
      throw new ServeError(
        'invalid_argument',
        `model: ${label} is given twice, by ${folders[first]} and ${folder}; name each model once, or give one another version`,
      );
    }
    labels.push(label);
  }
  return labels;
}

/**
 * Opens and warms up every model of a configuration; the first is the default. Each can be reopened from its folder.
 * @throws ModelFolderError, EngineError, or ServeError if `inputSizes` do not fit a model, two have the same name and version, or no model
 *   of `modelDir` works; models that were opened are closed then.
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
  const labels = await distinctLabels(folders);
  const opened: ModelSource[] = [];
  try {
    for (const folder of folders) {
      const reopen = () => open(folder);
      const engine = await reopen();
      opened.push({ engine, reopen });
      await warmEngine(engine, limits);
    }
    if (dir === undefined) return { sources: opened, modelDir: undefined };
    const warm = (engine: Engine) => warmEngine(engine, limits);
    const modelDir = await openModelDir({ dir, open, logger, warm, taken: labels });
    return { sources: [...opened, ...modelDir.sources], modelDir };
  } catch (error) {
    await Promise.all(opened.map(({ engine }) => engine.close()));
    throw error;
  }
}
