import { z } from 'zod';

const source = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);

/** The configuration of probes, which measure the quality of the features during training. */
export const probeSchema = z.strictObject({
  data: source
    .optional()
    .describe(
      'Labelled images, in any layout that data.source accepts; labels come from the list or shards, or from the folders. Default (knn only): data.source with its labels.',
    ),
  test: source.optional().describe('Labelled test images of the k-NN. Default: a part of probe.data is held out.'),
  crop: z
    .int()
    .min(32)
    .optional()
    .describe('Side of the probe images in pixels; a multiple of the stride. Default: crops.size.'),
  resize: z
    .int()
    .min(32)
    .optional()
    .describe(
      'Length in pixels to which their shortest side is resized before the central crop. Default: 256/224 of the crop, as in the paper.',
    ),
  knn: z
    .strictObject({
      everyEpochs: z.number().gt(0).default(1).describe('Epochs between k-NN probes; there is also one at the end.'),
      k: z.int().min(1).default(20).describe('Number of neighbours that vote.'),
      temperature: z
        .number()
        .gt(0)
        .default(0.07)
        .describe('The weight of a vote is exp(cosine similarity / temperature).'),
      trainImages: z.int().min(1).default(5000).describe('Maximum number of images in which neighbours are searched.'),
      testImages: z.int().min(1).default(1000).describe('Maximum number of images that are classified.'),
    })
    .optional(),
  linear: z
    .strictObject({
      everySteps: z
        .int()
        .min(1)
        .default(1)
        .describe('Training steps between steps of the linear probe; a multiple of stepsPerRun.'),
      batchSize: z.int().min(1).default(64).describe('Batch size of the linear probe.'),
      lr: z.number().gt(0).default(0.005).describe('Learning rate of the linear probe (constant).'),
      momentum: z.number().min(0).lt(1).default(0.9).describe('Momentum of the SGD of the linear probe.'),
      weightDecay: z
        .number()
        .min(0)
        .default(1e-6)
        .describe('L2 penalty on the weights and biases of the linear probe.'),
    })
    .optional(),
});

export type ProbeConfig = z.output<typeof probeSchema>;

interface Surroundings {
  readonly data: { readonly labels: string };
  readonly crops: { readonly size: number };
  readonly stepsPerRun: number;
  readonly probe?: ProbeConfig | undefined;
}

/** Problems of the probe configuration for a network of the given stride, each with its key. */
export function probeProblems(
  { data, crops, stepsPerRun, probe }: Surroundings,
  stride: number,
): { readonly path: string[]; readonly message: string }[] {
  if (probe === undefined) return [];
  const problems: { path: string[]; message: string }[] = [];
  const { knn, linear } = probe;
  if (knn === undefined && linear === undefined) {
    problems.push({ path: ['probe'], message: 'contains no probe; add knn: {} or linear: {}' });
  }
  if (probe.data === undefined && data.labels === 'none') {
    problems.push({
      path: ['probe', 'data'],
      message: 'is missing, and data.labels is none; set it to labelled images, or set data.labels',
    });
  }
  if (probe.data === undefined && linear !== undefined) {
    problems.push({
      path: ['probe', 'linear'],
      message: 'requires probe.data; on the training data, use the online classifier (data.labels) instead',
    });
  }
  const { crop, resize } = probeSizes({ crops, probe });
  if (crop % stride !== 0) {
    const nearest = Math.max(1, Math.round(crop / stride)) * stride;
    problems.push({
      path: ['probe', 'crop'],
      message: `${crop} is not a multiple of the stride ${stride}; use ${nearest}`,
    });
  }
  if (resize < crop) {
    problems.push({ path: ['probe', 'resize'], message: `${resize} is smaller than the crop ${crop}` });
  }
  if (linear !== undefined && linear.everySteps % stepsPerRun !== 0) {
    problems.push({
      path: ['probe', 'linear', 'everySteps'],
      message:
        `${linear.everySteps} is not a multiple of stepsPerRun (${stepsPerRun}); ` +
        `use ${Math.ceil(linear.everySteps / stepsPerRun) * stepsPerRun}`,
    });
  }
  return problems;
}

/** Sizes of probe images, in pixels. */
export function probeSizes({ crops, probe }: Pick<Surroundings, 'crops' | 'probe'>): { crop: number; resize: number } {
  const crop = probe?.crop ?? crops.size;
  return { crop, resize: probe?.resize ?? Math.round((crop * 256) / 224) };
}
