import type { SubjectMeasures } from '../result/buildResult.js';
import type { MeasuredFigure } from '../result/figures.js';
import type { SegmentationClass } from './classTables.js';
import type { LabelMask } from './labelMask.js';

/** Intersection over union from the confusion matrix of all test images, kept by image so that images can be resampled. */

/** Pixels of one image by class: those that have it, those for which it was predicted, and both at once. Ignored ones do not count. */
export interface ClassCounts {
  readonly truth: Uint32Array;
  readonly predicted: Uint32Array;
  readonly both: Uint32Array;
}

/** @param predicted label of every pixel. */
export function countClasses({ data }: Pick<LabelMask, 'data'>, predicted: Uint8Array, classes: number): ClassCounts {
  const counts = {
    truth: new Uint32Array(classes),
    predicted: new Uint32Array(classes),
    both: new Uint32Array(classes),
  };
  for (let i = 0; i < data.length; i++) {
    const [label, found] = [data[i]!, predicted[i]!];
    if (label >= classes) continue;
    counts.truth[label]!++;
    counts.predicted[found]!++;
    if (label === found) counts.both[label]!++;
  }
  return counts;
}

/** Classes that an image has or was given, with their counts: most images have few of many classes. */
interface SparseCounts {
  readonly labels: Uint16Array;
  readonly both: Uint32Array;
  readonly union: Uint32Array;
  readonly right: number;
  readonly pixels: number;
}

function sparse({ truth, predicted, both }: ClassCounts): SparseCounts {
  const labels = Uint16Array.from(truth.keys()).filter((label) => truth[label]! + predicted[label]! > 0);
  const sum = (values: Uint32Array) => values.reduce((total, value) => total + value, 0);
  return {
    labels,
    both: Uint32Array.from(labels, (label) => both[label]!),
    union: Uint32Array.from(labels, (label) => truth[label]! + predicted[label]! - both[label]!),
    right: sum(both),
    pixels: sum(truth),
  };
}

/** IoU of every class over some images; NaN for a class that is neither in their truth nor predicted. */
function classIous(images: readonly SparseCounts[], indices: ArrayLike<number>, classes: number): Float64Array {
  const [both, union] = [new Float64Array(classes), new Float64Array(classes)];
  for (let i = 0; i < indices.length; i++) {
    const image = images[indices[i]!]!;
    for (let j = 0; j < image.labels.length; j++) {
      const label = image.labels[j]!;
      both[label]! += image.both[j]!;
      union[label]! += image.union[j]!;
    }
  }
  return both.map((value, label) => value / union[label]!);
}

function meanOfPresent(values: Float64Array): number {
  let [sum, count] = [0, 0];
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    sum += value;
    count += 1;
  }
  return sum / count;
}

/** mIoU, pixel accuracy, and the mean over images of each one's own mIoU; IoU by class. */
export function segmentationMeasures(
  counts: readonly ClassCounts[],
  classes: readonly SegmentationClass[],
): SubjectMeasures {
  const images = counts.map(sparse);
  const about = { unit: 'share', better: 'higher' } as const;
  const miou: MeasuredFigure = {
    ...about,
    name: 'miou',
    label: 'mIoU',
    over: (indices) => meanOfPresent(classIous(images, indices, classes.length)),
  };
  const accuracy: MeasuredFigure = {
    ...about,
    name: 'pixel_accuracy',
    label: 'pixel accuracy',
    over(indices) {
      let [right, pixels] = [0, 0];
      for (let i = 0; i < indices.length; i++) {
        right += images[indices[i]!]!.right;
        pixels += images[indices[i]!]!.pixels;
      }
      return right / pixels;
    },
  };
  // NaN for an image of which no pixel counts.
  const own = Float64Array.from(images, (_, i) => meanOfPresent(classIous(images, [i], classes.length)));
  const imageMiou: MeasuredFigure = {
    ...about,
    name: 'image_miou',
    label: 'mean of the mIoU of each image',
    over: (indices) => meanOfPresent(Float64Array.from(indices, (i) => own[i]!)),
    perItem: own,
  };
  const perClass = classIous(images, Uint32Array.from(images.keys()), classes.length);
  return {
    figures: [miou, accuracy, imageMiou],
    classes: {
      figure: 'iou',
      label: 'IoU',
      values: classes.map(({ name }, label) => ({
        name,
        value: Number.isNaN(perClass[label]) ? null : perClass[label]!,
      })),
    },
  };
}
