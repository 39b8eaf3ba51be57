import type { InferenceSession } from '../onnx/runtime.js';
import { createSession } from '../onnx/session.js';
import { median } from '../tensor/median.js';
import type { Tensor } from '../tensor/tensor.js';
import { type CosineSummary, imageAgreement, runBackbone, summariseCosines } from './agreement.js';
import { arithmeticOf } from './arithmetic.js';
import type { ModelFolder } from './folder.js';
import { readListedGraph } from './listedData.js';
import { ModelFolderError } from './modelFolderError.js';

/** An image as the network takes it, uint8 [1, H, W, 3], with the name of its file. */
export interface NamedInput {
  readonly name: string;
  readonly image: Tensor<'uint8'>;
}

export interface ModelComparison {
  readonly images: number;
  readonly representation: CosineSummary & { readonly worstImage: string };
  /** Absent if the two maps differ in size (another output stride). */
  readonly cells?: CosineSummary;
  /** Images per second of each, at batch size 1: medians of alternating runs; and the ratio b / a. */
  readonly speed: { readonly a: number; readonly b: number; readonly ratio: number };
}

/**
 * Runs the backbones of two models on the same images, alternately, and compares embeddings, cells and speed.
 * @throws ModelFolderError for models whose representations differ in size.
 */
export async function compareModels(
  a: ModelFolder,
  b: ModelFolder,
  inputs: AsyncIterable<NamedInput>,
  { threads }: { readonly threads?: number } = {},
): Promise<ModelComparison> {
  const [channelsA, channelsB] = [a.manifest.dims.representation, b.manifest.dims.representation];
  if (channelsA !== channelsB) {
    throw new ModelFolderError(
      `${a.dir} has representations of ${channelsA} channels and ${b.dir} of ${channelsB}; only forms of one network can be compared`,
    );
  }
  const config = threads === undefined ? {} : { threads };
  const sessions: InferenceSession[] = [];
  try {
    // One after the other: the first is closed if the second cannot be opened.
    for (const model of [a, b]) {
      await readListedGraph(model, 'backbone');
      sessions.push(
        await createSession(model.graphPath('backbone')!, { ...config, ...arithmeticOf(model.manifest.compute) }),
      );
    }
    const times: [number[], number[]] = [[], []];
    const images: { name: string; cosine: number }[] = [];
    let cells: number[] | undefined = [];
    for await (const { name, image } of inputs) {
      if (images.length === 0) for (const session of sessions) await runBackbone(session, image);
      const outputs = [];
      for (const side of [0, 1] as const) {
        const start = performance.now();
        outputs.push(await runBackbone(sessions[side]!, image));
        times[side].push(performance.now() - start);
      }
      const found = imageAgreement(outputs[0]!, outputs[1]!);
      images.push({ name, cosine: found.representation });
      cells = cells && found.cells && cells.concat(found.cells);
    }
    if (images.length === 0) throw new ModelFolderError('there is no image to compare the models on');
    const summary = summariseCosines(images.map(({ cosine }) => cosine));
    const rates = times.map((side) => 1000 / median(side));
    return {
      images: images.length,
      representation: { ...summary, worstImage: images.find(({ cosine }) => cosine === summary.worst)?.name ?? '' },
      ...(cells && { cells: summariseCosines(cells) }),
      speed: { a: rates[0]!, b: rates[1]!, ratio: rates[1]! / rates[0]! },
    };
  } finally {
    await Promise.all(sessions.map((session) => session.release()));
  }
}
