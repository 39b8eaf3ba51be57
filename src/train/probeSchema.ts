import { z } from 'zod';

const source = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);

/** The configuration keys of probes, which measure features during a run. */
export const probeSchema = z.strictObject({
  data: source
    .optional()
    .describe(
      'Labelled images, of any kind that data.source takes; labels from list or shards, else from folders. Absent: data.source with its labels (for knn).',
    ),
  test: source
    .optional()
    .describe('Labelled images that the k-NN is tested on. Absent: some of probe.data are held out for it.'),
  crop: z
    .int()
    .min(32)
    .optional()
    .describe('Side of probed images in pixels; a multiple of the stride. Absent: crops.size.'),
  resize: z
    .int()
    .min(32)
    .optional()
    .describe('Their shortest side before the central crop is cut. Absent: 256/224 of the crop, as in the paper.'),
  knn: z
    .strictObject({
      everyEpochs: z
        .number()
        .gt(0)
        .default(1)
        .describe('Epochs from one k-NN probe to the next; there is one at the end.'),
      k: z.int().min(1).default(20).describe('Neighbours that vote.'),
      temperature: z.number().gt(0).default(0.07).describe('A vote weighs exp(cosine similarity / temperature).'),
      trainImages: z.int().min(1).default(5000).describe('Most images among which neighbours are looked for.'),
      testImages: z.int().min(1).default(1000).describe('Most images that are classified.'),
    })
    .optional(),
  linear: z
    .strictObject({
      everySteps: z
        .int()
        .min(1)
        .default(1)
        .describe('Steps of the run from one step of the linear probe to the next; a multiple of stepsPerRun.'),
      batchSize: z.int().min(1).default(64).describe('Images of one step of the linear probe.'),
      lr: z.number().gt(0).default(0.005).describe('Its learning rate, constant.'),
      momentum: z.number().min(0).lt(1).default(0.9).describe('Momentum of its SGD.'),
      weightDecay: z.number().min(0).default(1e-6).describe('L2 penalty of its weights and biases.'),
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

/** What is wrong with the probes of a configuration whose network has the stride; each with its key. */
export function probeProblems(
  { data, crops, stepsPerRun, probe }: Surroundings,
  stride: number,
): { readonly path: string[]; readonly message: string }[] {
  if (probe === undefined) return [];
  const problems: { path: string[]; message: string }[] = [];
  const { knn, linear } = probe;
  if (knn === undefined && linear === undefined) {
    problems.push({ path: ['probe'], message: 'says no probe; add knn: {} or linear: {}' });
  }
  if (probe.data === undefined && data.labels === 'none') {
    problems.push({
      path: ['probe', 'data'],
      message: 'is missing, and data.labels is none; name labelled images, or set data.labels',
    });
  }
  if (probe.data === undefined && linear !== undefined) {
    problems.push({
      path: ['probe', 'linear'],
      message: 'needs probe.data; on the training data the online classifier (data.labels) does the same',
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
        `${linear.everySteps} is not a multiple of stepsPerRun (${stepsPerRun}), whose runs it would cut short; ` +
        `use ${Math.ceil(linear.everySteps / stepsPerRun) * stepsPerRun}`,
    });
  }
  return problems;
}

/** Sides of probed images, in pixels. */
export function probeSizes({ crops, probe }: Pick<Surroundings, 'crops' | 'probe'>): { crop: number; resize: number } {
  const crop = probe?.crop ?? crops.size;
  return { crop, resize: probe?.resize ?? Math.round((crop * 256) / 224) };
}
