import { join } from 'node:path';
import type { OutputName } from '../../engine/engine.js';
import { type ModelFolder, openModelFolder } from '../../models/folder.js';
import { writeRandomModel } from '../../models/randomModel.js';
import { modelSubject, type StartEngine, withFeatures } from './modelSubject.js';
import { pixelSubject } from './pixelSubject.js';
import type { FeatureNeeds, SubjectSource } from './subject.js';

/** What a model is compared with: the same network with random weights, raw pixels, or another model. */
export type Baseline = 'random' | 'pixels' | { readonly model: ModelFolder };

export interface SubjectsOptions {
  readonly startEngine: StartEngine;
  /** Of the random weights. */
  readonly seed: number;
  /** Temporary folder for models that are exported for the evaluation; the caller removes it. */
  readonly scratch: string;
  readonly needs?: FeatureNeeds;
}

/** The work on a baseline's folder. @throws what it throws, with the folder: what the evaluated model offers, a baseline may not have. */
async function ofBaseline<T>({ dir }: ModelFolder, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Error) error.message = `--baseline ${dir}: ${error.message}`;
    throw error;
  }
}

/**
 * The model, then its baselines in their order, ready to be measured. Needed outputs that a folder lacks are exported.
 * Baselines of one name and version are told apart by their folders.
 * @throws ModelFolderError, see `withFeatures`; RangeError for a repeated baseline.
 */
export async function openSubjects(
  folder: ModelFolder,
  baselines: readonly Baseline[],
  { startEngine, seed, scratch, needs = {} }: SubjectsOptions,
): Promise<SubjectSource[]> {
  const titles = baselines.map((baseline) =>
    typeof baseline === 'string' ? baseline : `${baseline.model.manifest.name} ${baseline.model.manifest.version}`,
  );
  const names = baselines.map((baseline, i) => {
    const title = titles[i]!;
    const shared = typeof baseline !== 'string' && titles.filter((other) => other === title).length > 1;
    return shared ? `${title} (${baseline.model.dir})` : title;
  });
  const repeated = names.find((name, i) => names.indexOf(name) !== i);
  if (repeated !== undefined) throw new RangeError(`the baseline "${repeated}" is given twice; give it once`);

  const place = (name: string) => join(scratch, `with-features-${name}`);
  const trained = await withFeatures(folder, needs, place('trained'));
  const sources = [modelSubject('trained', trained, startEngine)];
  for (const [i, baseline] of baselines.entries()) {
    if (baseline === 'random') {
      const dir = join(scratch, 'random');
      await writeRandomModel(dir, folder.manifest, seed);
      const random = await withFeatures(await openModelFolder(dir), needs, place('random'));
      sources.push(modelSubject('random', random, startEngine));
    } else if (baseline === 'pixels') {
      const maps = Object.entries(trained.manifest.outputs).flatMap(([name, { stride }]): [OutputName, number][] =>
        stride === undefined ? [] : [[name as OutputName, stride]],
      );
      sources.push(pixelSubject(new Map(maps)));
    } else {
      const other = await ofBaseline(baseline.model, withFeatures(baseline.model, needs, place(String(i))));
      sources.push(modelSubject(names[i]!, other, startEngine));
    }
  }
  return sources;
}
