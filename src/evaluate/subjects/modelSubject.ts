import { createHash } from 'node:crypto';
import type { Engine, OutputName } from '../../engine/engine.js';
import { backboneOfManifest } from '../../models/architecture.js';
import { exportModel } from '../../models/exportModel.js';
import { type ModelFolder, openModelFolder } from '../../models/folder.js';
import type { Manifest } from '../../models/manifest.js';
import { stageOutputName } from '../../models/modelOutputs.js';
import { modelSource } from '../../models/modelSource.js';
import { backboneStages } from '../../nn/backbone.js';
import { runsOf } from '../runsOf.js';
import type { FeatureNeeds, Subject, SubjectOutput, SubjectSource } from './subject.js';

/** Starts the engine of a model folder. */
export type StartEngine = (folder: ModelFolder) => Promise<Engine>;

/** Outputs of a model by name, with their channels and strides. */
function outputsOf({ outputs }: Manifest): ReadonlyMap<OutputName, SubjectOutput> {
  return new Map(
    Object.entries(outputs).map(([name, { shape, stride }]) => [
      name as OutputName,
      { channels: shape.at(-1) as number, ...(stride !== undefined && { stride }) },
    ]),
  );
}

/** A digest of the files that compute the features. */
export function modelDigest({ graphs, weights, files }: Manifest): string {
  const names = [...Object.values(graphs), weights].filter((name) => name !== undefined).sort();
  return createHash('sha256')
    .update(JSON.stringify(names.map((name) => [name, files[name]?.sha256])))
    .digest('hex');
}

/** A model folder as a subject. @param name see `SubjectSource`. */
export function modelSubject(name: string, folder: ModelFolder, startEngine: StartEngine): SubjectSource {
  const { manifest } = folder;
  const shape = { stride: manifest.stride, outputs: outputsOf(manifest) };
  return {
    ...shape,
    name,
    model: `${manifest.name} ${manifest.version}`,
    digest: modelDigest(manifest),
    async open(): Promise<Subject> {
      const engine = await startEngine(folder);
      return {
        ...shape,
        provider: engine.provider,
        runs: runsOf(engine),
        run: (batch, wants) => engine.run(batch, wants),
        close: () => engine.close(),
      };
    },
  };
}

/**
 * The model with the needed outputs: the folder itself if it has them, else an export of its weights.
 * @param dir where that export is written.
 * @throws ModelFolderError if the weights cannot be read from the folder (int8, or float16 arithmetic); RangeError for an
 *   output stride that the backbone cannot have.
 */
export async function withFeatures(folder: ModelFolder, needs: FeatureNeeds, dir: string): Promise<ModelFolder> {
  const { manifest } = folder;
  const stages = needs.stages === true ? backboneStages(backboneOfManifest(manifest)).map((_, i) => i + 1) : [];
  const stride = needs.outputStride ?? manifest.stride;
  const complete = stages.every((stage) => Object.hasOwn(manifest.outputs, stageOutputName(stage)));
  if (complete && stride === manifest.stride) return folder;
  await exportModel(dir, await modelSource(folder, manifest.name), {
    precision: manifest.precision === 'float16' ? 'float16' : 'float32',
    stages,
    ...(stride !== manifest.stride && { outputStride: stride }),
    check: false,
  });
  return openModelFolder(dir);
}
