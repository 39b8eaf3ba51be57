import type { Manifest } from './manifest.js';

/** The backbone's input, the same in every variant. */
export const modelInput: Manifest['input'] = {
  name: 'images',
  dtype: 'uint8',
  shape: ['batch', 'height', 'width', 3],
};

/** A stage whose map is an output of the backbone. */
export interface StageOutput {
  /** Counted from 1. */
  readonly stage: number;
  readonly channels: number;
  readonly stride: number;
}

/** Name of a stage's output in graph and manifest. */
export const stageOutputName = (stage: number): string => `stage${stage}`;

/** The outputs of a model folder, as the manifest lists them. */
export function modelOutputs(
  dims: Manifest['dims'],
  stride: number,
  stages: readonly StageOutput[] = [],
): Manifest['outputs'] {
  const map = (channels: number) => ['batch', 'rows', 'columns', channels];
  return {
    representation: { graph: 'backbone', shape: ['batch', dims.representation] },
    maps: { graph: 'backbone', shape: map(dims.representation), stride },
    ...Object.fromEntries(
      stages.map(({ stage, channels, stride: stageStride }) => [
        stageOutputName(stage),
        {
          graph: 'backbone' as const,
          shape: ['batch', `rows${stage}`, `columns${stage}`, channels],
          stride: stageStride,
        },
      ]),
    ),
    ...(dims.mapsEmbedding !== undefined && {
      maps_embedding: { graph: 'localProjector' as const, shape: map(dims.mapsEmbedding), stride },
    }),
    ...(dims.embedding !== undefined && {
      embedding: { graph: 'expander' as const, shape: ['batch', dims.embedding] },
    }),
    ...(dims.classes !== undefined && {
      logits: { graph: 'classifier' as const, shape: ['batch', dims.classes] },
    }),
  };
}
