import { z } from 'zod';

/** The one file format of all evaluations (docs/evaluation.md, Results). */

export const RESULT_FORMAT = 'vicregl-result';
/** Raised when a reader of the previous version would misread a file. */
export const RESULT_VERSION = 1;

/** Kinds of evaluation: the subcommands of `vicregl evaluate`. */
const RESULT_KINDS = ['knn', 'linear', 'segmentation', 'retrieval', 'matches', 'homography'] as const;

/** JSON has no NaN: a value that does not exist is null. */
const value = z.number().nullable().describe('null where the figure does not exist.');
const interval = z.tuple([value, value]).describe('95 % percentile bootstrap interval over the items.');

const figure = z.strictObject({
  name: z.string().describe('Stable key, such as `top1` or `miou`.'),
  label: z.string().describe('Name for tables and plots.'),
  unit: z.enum(['share', 'pixels', 'number']).describe('`share` is 0 to 1 and shown in per cent.'),
  better: z.enum(['higher', 'lower']).describe('Which values are better.'),
  value,
  interval: interval.optional(),
});

const curve = z
  .strictObject({
    name: z.string().describe('Stable key, such as `gamma`.'),
    label: z.string().describe('Name for the title of a plot.'),
    x: z.strictObject({
      label: z.string().describe('Name of the axis.'),
      values: z.array(z.number()).describe('Positions on the axis.'),
    }),
    y: z.strictObject({
      label: z.string().describe('Name of the axis.'),
      unit: figure.shape.unit,
      values: z.array(value).describe('One for each of `x.values`.'),
      intervals: z.array(interval).optional().describe('One for each of `x.values`.'),
    }),
  })
  .refine(
    ({ x, y }) =>
      y.values.length === x.values.length && (y.intervals === undefined || y.intervals.length === x.values.length),
    'the curve has not as many values of y as of x',
  );

const subject = z.strictObject({
  name: z.string().describe('`trained`, `random`, `pixels`, or the name and version of a baseline model.'),
  model: z.string().describe('Model and version.'),
  digest: z.string().describe('Identifies the weights.'),
  figures: z.array(figure).describe('Measured figures.'),
  perItem: z
    .record(z.string(), z.array(value))
    .optional()
    .describe('Values of each item, by figure, in the order of `items`. Only in files.'),
  curves: z.array(curve).optional().describe('Figures as functions of a setting.'),
  classes: z
    .strictObject({
      figure: z.string().describe('Stable key, such as `iou`.'),
      label: z.string().describe('Name for tables and plots.'),
      values: z
        .array(z.strictObject({ name: z.string().describe('Name of the class.'), value }))
        .describe('One for each class.'),
    })
    .optional()
    .describe(
      'A figure by class, a share unless `figures` says otherwise; null for a class that the test images lack.',
    ),
});

const data = z.strictObject({
  role: z.enum(['train', 'test', 'images']).describe('What they were used for; `images` where nothing is trained.'),
  source: z.string().describe('The path as it was given.'),
  fingerprint: z.string().describe('Number of images, and a digest of their names, order and classes.'),
  contents: z
    .string()
    .optional()
    .describe('Digest of the files of the images that were used or left out. Results of older versions lack it.'),
  images: z.int().nonnegative().describe('Images that were used.'),
  skipped: z
    .array(
      z.strictObject({
        name: z.string().describe('Name of the image.'),
        reason: z.string().describe('Why it cannot be used.'),
      }),
    )
    .describe('Images that were left out.'),
});

const result = z.strictObject({
  format: z.literal(RESULT_FORMAT).describe('Identifies the format.'),
  formatVersion: z.literal(RESULT_VERSION).describe('Files of other versions are refused.'),
  kind: z.enum(RESULT_KINDS).describe('The subcommand of `vicregl evaluate`.'),
  protocol: z.string().describe('What was measured, in a sentence.'),
  command: z.array(z.string()).describe('Arguments of `vicregl`.'),
  created: z.iso.datetime().describe('When the evaluation ended, in UTC (ISO 8601).'),
  seconds: z.number().nonnegative().describe('How long it took.'),
  versions: z.strictObject({
    vicregl: z.string().describe('Version of this package.'),
    onnxruntime: z.string().describe('Version of ONNX Runtime.'),
    node: z.string().describe('Version of Node.js.'),
  }),
  seed: z.int().nonnegative().describe('Seed of image selection, random weights and bootstrap.'),
  options: z.record(z.string(), z.json()).describe('Settings of the evaluation, which depend on its kind.'),
  data: z.array(data).describe('The sets of images.'),
  items: z.array(z.string()).optional().describe('Names of what is resampled: images, or pairs. Only in files.'),
  subjects: z.array(subject).min(1).describe('What was evaluated, then its baselines.'),
  comparisons: z
    .array(
      z.strictObject({
        figure: z.string().describe('`name` of the figure.'),
        subject: z.string().describe('`name` of the first subject.'),
        baseline: z.string().describe('`name` of the baseline.'),
        difference: value.describe(
          'Value of the subject less that of the baseline; null where one of them does not exist.',
        ),
        interval: interval.describe('Paired: the same resampled items on both sides.'),
      }),
    )
    .describe('The first subject less each baseline.'),
  notes: z.array(z.string()).optional().describe('Warnings about the data or the figures.'),
});

/** Keys and values, and the names that have to agree. */
export const resultSchema = result.superRefine(({ items, subjects, comparisons }, { addIssue }) => {
  const names = subjects.map(({ name }) => name);
  for (const [i, { name, perItem = {} }] of subjects.entries()) {
    if (names.indexOf(name) !== i) {
      addIssue({ code: 'custom', path: ['subjects', i, 'name'], message: `two subjects have the name "${name}"` });
    }
    for (const [figure, { length }] of Object.entries(perItem)) {
      if (length === items?.length) continue;
      const message = `${length} values of ${items?.length ?? 'no'} items`;
      addIssue({ code: 'custom', path: ['subjects', i, 'perItem', figure], message });
    }
  }
  for (const [i, { subject, baseline }] of comparisons.entries()) {
    for (const [key, name] of Object.entries({ subject, baseline })) {
      if (names.includes(name)) continue;
      addIssue({ code: 'custom', path: ['comparisons', i, key], message: `there is no subject "${name}"` });
    }
  }
});

export type EvaluationResult = z.infer<typeof resultSchema>;
export type ResultSubject = EvaluationResult['subjects'][number];
export type ResultFigure = ResultSubject['figures'][number];
export type ResultCurve = NonNullable<ResultSubject['curves']>[number];
export type ResultData = EvaluationResult['data'][number];
