import { compareFigures, meanFigure } from '../../src/evaluate/result/figures.js';
import type { EvaluationResult, ResultSubject } from '../../src/evaluate/result/schema.js';

/** Results of evaluations that were never run, for tests of reports. */

const top1 = { name: 'top1', label: 'top-1 accuracy', unit: 'share', better: 'higher' } as const;

/** What a subject of a tiny result has: its values of the items, from which its figure follows. */
export interface TinySubject extends Pick<ResultSubject, 'name' | 'model'> {
  readonly values: readonly number[];
  readonly more?: Partial<ResultSubject>;
}

/** A result of k-NN classification of as many items as the subjects have values. */
export function tinyResult(subjects: readonly TinySubject[], over: Partial<EvaluationResult> = {}): EvaluationResult {
  const items = subjects[0]!.values.map((_, i) => `${i}.jpg`);
  const measured = subjects.map(({ name, values }) => ({ name, figures: [meanFigure(top1, values)] }));
  const { figures, comparisons } = compareFigures(measured, items.length, { seed: 1, resamples: 200 });
  return {
    format: 'vicregl-result',
    formatVersion: 1,
    kind: 'knn',
    protocol: 'k-NN classification, k = 3',
    command: ['evaluate', 'knn', '--train', 'a b.tar', '--test', 'val.tar'],
    created: '2026-01-02T03:04:05.000Z',
    seconds: 1.5,
    versions: { vicregl: '0.1.0', onnxruntime: '1.2.3', node: '20.0.0' },
    seed: 1,
    options: { k: 3 },
    data: [
      { role: 'train', source: 'data/a b.tar', fingerprint: '8 images, sha256 12', images: 8, skipped: [] },
      {
        role: 'test',
        source: 'data/val.tar',
        fingerprint: '9 images, sha256 34',
        images: items.length,
        skipped: [{ name: 'x.jpg', reason: 'no picture' }],
      },
    ],
    items,
    subjects: subjects.map(({ name, model, values, more }, i) => ({
      name,
      model,
      digest: `digest of ${model}`,
      figures: [...figures[i]!],
      perItem: { top1: [...values] },
      ...more,
    })),
    comparisons,
    ...over,
  };
}

export const trained = (model = 'atto 1'): TinySubject => ({
  name: 'trained',
  model,
  values: [1, 1, 0, 1, 1, 1, 0, 1],
});
export const random: TinySubject = { name: 'random', model: 'atto-random 0', values: [0, 1, 0, 0, 1, 0, 0, 0] };

/** Results of three kinds: two models on the same data, curves with a gap, and classes of which one is missing. */
export function mixedResults(): { readonly path: string; readonly result: EvaluationResult }[] {
  const other: TinySubject = { name: 'trained', model: 'pico 1', values: [1, 0, 0, 1, 0, 1, 0, 1] };
  const curve = (values: (number | null)[]): Partial<ResultSubject> => ({
    curves: [
      {
        name: 'gamma',
        label: 'matches kept',
        x: { label: 'matches kept of each pair', values: [1, 5, 20] },
        y: {
          label: 'within one cell',
          unit: 'share',
          values,
          intervals: values.map((value) => (value === null ? [null, null] : [value - 0.1, value + 0.1])),
        },
      },
    ],
  });
  const classes = (...values: (number | null)[]): Partial<ResultSubject> => ({
    figures: [
      { name: 'miou', label: 'mIoU', unit: 'share', better: 'higher', value: 0.421, interval: [0.35, 0.4996] },
      { name: 'error', label: 'boundary error', unit: 'pixels', better: 'lower', value: null, interval: [null, null] },
    ],
    classes: {
      figure: 'iou',
      label: 'IoU',
      values: values.map((value, i) => ({ name: ['sky', 'road | lane', 'tree'][i]!, value })),
    },
  });
  return [
    {
      path: 'atto.json',
      result: tinyResult([trained(), random], { notes: ['2 test images are also training images'] }),
    },
    {
      path: 'more/pico.json',
      result: tinyResult([other, random], { options: { k: 3, crop: 96 }, seed: 2 }),
    },
    {
      path: 'matches.json',
      result: tinyResult(
        [
          { ...trained(), more: curve([0.5, 0.4, 0.3]) },
          { ...random, more: curve([0.2, null, 0.1]) },
        ],
        { kind: 'matches', protocol: 'feature matches', data: [] },
      ),
    },
    {
      path: 'segmentation.json',
      result: tinyResult(
        [
          { ...trained(), more: classes(0.25, 0.75, null) },
          { ...random, more: classes(0.1, 0.2, null) },
        ],
        {
          kind: 'segmentation',
          protocol: 'linear segmentation',
          comparisons: [
            { figure: 'miou', subject: 'trained', baseline: 'random', difference: 0.012, interval: [-0.01, 0.0301] },
            { figure: 'error', subject: 'trained', baseline: 'random', difference: -1.234, interval: [-2.5, -0.25] },
          ],
        },
      ),
    },
  ];
}
