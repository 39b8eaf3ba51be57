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

/**
 * The shape of a local projector's output. Earlier int8 ones give the vectors of all cells as rows [B * h * w, D]; folders
 * with such a graph stay usable.
 * @param maps the shape of its input, [B, h, w, C]
 */
export function mapsEmbeddingShape(shape: readonly number[], maps: readonly number[]): readonly number[] {
  const [batch, rows, columns] = maps as [number, number, number];
  return shape.length === 2 && shape[0] === batch * rows * columns ? [batch, rows, columns, shape[1]!] : shape;
}

/** An output of a run: of an image of this size, in pixels, with this shape. */
interface RunOutput {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly shape: readonly number[];
}

/**
 * How an output of a run differs from what the manifest lists; undefined if it does not. Where a side is no multiple of the stride,
 * the last, partial cell may be there or not.
 */
export function outputShapeProblem(
  { shape: listed, stride }: Manifest['outputs'][string],
  { batch, height, width, shape }: RunOutput,
): string | undefined {
  const channels = listed.at(-1);
  const cells = (side: number, count: number | undefined) =>
    count === Math.floor(side / stride!) || count === Math.ceil(side / stride!);
  const whole = stride === undefined || (cells(height, shape[1]) && cells(width, shape[2]));
  if (shape.length === listed.length && shape[0] === batch && shape.at(-1) === channels && whole) return undefined;
  const expected = [
    batch,
    ...(stride === undefined ? [] : [Math.floor(height / stride), Math.floor(width / stride)]),
    channels,
  ];
  return `it is [${shape.join(', ')}] for an input of ${width}x${height}, and the manifest describes [${expected.join(', ')}]`;
}

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
