import { DataError } from '../../data/dataError.js';
import type { LabelledImages } from '../../probe/labelledImages.js';
import { stream } from '../../tensor/random.js';

/** Parts of the training images, drawn class by class. */

/** Places of the images of each class among `labels`, in an order that the seed decides. */
function shuffledByClass(labels: ArrayLike<number>, classes: number, seed: number, purpose: string): number[][] {
  const places: number[][] = Array.from({ length: classes }, () => []);
  for (let i = 0; i < labels.length; i++) places[labels[i]!]!.push(i);
  return places.map((own, c) => [...stream(seed, purpose, c).permutation(own.length)].map((i) => own[i]!));
}

const at = (images: LabelledImages, places: readonly number[]): LabelledImages => ({
  source: images.source,
  indices: places.map((place) => images.indices[place]!),
  labels: Uint32Array.from(places, (place) => images.labels[place]!),
});

/**
 * A share of the images of each class, rounded. With equal seeds a smaller subset is part of a larger one.
 * @param percent above 0, at most 100.
 * @throws DataError `bad_option` where a class would be left without images.
 */
export function stratifiedSubset(
  images: LabelledImages,
  classes: readonly string[],
  { percent, seed }: { readonly percent: number; readonly seed: number },
): LabelledImages {
  if (percent === 100) return images;
  const kept = shuffledByClass(images.labels, classes.length, seed, 'train percent').flatMap((places, c) => {
    const count = Math.round((places.length * percent) / 100);
    if (count === 0 && places.length > 0) {
      throw new DataError(
        'bad_option',
        `--train-percent ${percent} leaves the class "${classes[c]}" without images, as it has only ${places.length}; use at least ${Math.ceil(50 / places.length)}, or more images`,
      );
    }
    return places.slice(0, count);
  });
  return at(
    images,
    kept.sort((a, b) => a - b),
  );
}

/** Share of the images of a class that are held out to choose a learning rate. */
const HELD_OUT = 0.1;

/**
 * Marks a tenth of the images of each class, at least one, to choose between learning rates. A class with one image alone
 * gives none.
 * @returns whether the image at each place is held out.
 * @throws DataError `bad_option` where fewer than two images would be held out.
 */
export function heldOutPlaces({ labels }: LabelledImages, classes: number, seed: number): readonly boolean[] {
  const held = new Array<boolean>(labels.length).fill(false);
  let count = 0;
  for (const places of shuffledByClass(labels, classes, seed, 'held out')) {
    if (places.length < 2) continue;
    for (const place of places.slice(0, Math.max(1, Math.round(places.length * HELD_OUT)))) {
      held[place] = true;
      count++;
    }
  }
  if (count < 2) {
    throw new DataError(
      'bad_option',
      `${labels.length} training images are too few to hold some of each class out, and to choose a learning rate by them; give --lr once, or more images`,
    );
  }
  return held;
}

/** The images at the marked places. */
export function imagesAt(images: LabelledImages, marks: readonly boolean[]): LabelledImages {
  return at(
    images,
    marks.flatMap((mark, place) => (mark ? [place] : [])),
  );
}

/**
 * Checks that each class of the test images can be learned.
 * @throws DataError `no_labels` naming the class and a test image of it.
 */
export function requireTestedClasses(train: LabelledImages, test: LabelledImages, classes: readonly string[]): void {
  const learned = new Set(train.labels);
  const place = test.labels.findIndex((label) => !learned.has(label));
  if (place < 0) return;
  throw new DataError(
    'no_labels',
    `the test image ${test.source.nameOf(test.indices[place]!)} is of the class "${classes[test.labels[place]!]}", of which none of the ${train.indices.length} training images is; raise --train-images, or leave the class out of the test images`,
  );
}
