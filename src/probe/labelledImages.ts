import { DataError } from '../data/dataError.js';
import type { ImageSource } from '../data/sources.js';
import { stream } from '../tensor/random.js';

/** Some images of a source, and the class of each. */
export interface LabelledImages {
  readonly source: ImageSource;
  readonly indices: readonly number[];
  /** Class of each index, of the split's classes. */
  readonly labels: Uint32Array;
}

/** Training images and test images, which have none in common. */
export interface LabelledSplit {
  readonly classes: readonly string[];
  readonly train: LabelledImages;
  readonly test: LabelledImages;
}

export interface SplitOptions {
  /** Maximum number of training images. */
  readonly trainImages: number;
  /** Maximum number of test images. */
  readonly testImages: number;
  /** Seed of the selection. */
  readonly seed: number;
  /**
   * Whether test images may be of classes that the training images lack. These are then appended to the split's classes.
   * Default false.
   */
  readonly newClasses?: boolean;
}

/**
 * Draws training and test images. Without a source of test images, they are held out of the first source: `testImages` of them,
 * but at most a fifth of all.
 * @throws DataError `no_labels` for a source without labels, or with a test class without training images (unless `newClasses`);
 *   `bad_option` if no image is left for the test.
 */
export function splitLabelled(train: ImageSource, test: ImageSource | undefined, options: SplitOptions): LabelledSplit {
  const { trainImages, testImages, seed, newClasses = false } = options;
  const classes = [...classesOf(train)];
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  const drawn = (source: ImageSource, indices: Uint32Array): LabelledImages => {
    const own = source.labelled!;
    const labels = indices.map((index) => {
      const name = own.classes[own.labels[index]!]!;
      const label = labelOf.get(name);
      if (label !== undefined) return label;
      if (newClasses) {
        labelOf.set(name, classes.length);
        return classes.push(name) - 1;
      }
      throw new DataError(
        'no_labels',
        `${source.nameOf(index)} is of the class "${name}", which no training image has`,
      );
    });
    return { source, indices: [...indices], labels };
  };
  const order = stream(seed, 'probe', 'train').permutation(train.count);
  if (test !== undefined) {
    classesOf(test);
    const tested = stream(seed, 'probe', 'test').permutation(test.count).subarray(0, testImages);
    return { classes, train: drawn(train, order.subarray(0, trainImages)), test: drawn(test, tested) };
  }
  const held = Math.min(testImages, Math.floor(train.count / 5));
  if (held === 0) {
    throw new DataError(
      'bad_option',
      `${train.count} labelled images are too few to hold a fifth of them out for the test; give at least 5`,
    );
  }
  return {
    classes,
    train: drawn(train, order.subarray(held, held + trainImages)),
    test: drawn(train, order.subarray(0, held)),
  };
}

/**
 * Draws up to `max` images of one source.
 * @throws DataError `no_labels` for a source without labels.
 */
export function allLabelled(
  source: ImageSource,
  { max, seed }: { readonly max: number; readonly seed: number },
): LabelledImages {
  classesOf(source);
  const indices = stream(seed, 'probe', 'test').permutation(source.count).subarray(0, max);
  return { source, indices: [...indices], labels: indices.map((index) => source.labelled!.labels[index]!) };
}

function classesOf({ labelled, nameOf }: ImageSource): readonly string[] {
  if (labelled !== undefined) return labelled.classes;
  throw new DataError('no_labels', `the source of ${nameOf(0)} was opened without labels`);
}
