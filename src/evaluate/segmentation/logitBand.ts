import type { Rectangle } from '../../image/types.js';
import type { Tensor } from '../../tensor/tensor.js';

/** Rows of the logits of a photograph that no further window reaches. */
export interface LogitRows {
  /** Sums over the windows, class by class: value (k, row, x) stands at k * plane + row * width + x. */
  readonly sums: Float32Array;
  readonly plane: number;
  readonly width: number;
  readonly classes: number;
  /** Row of the photograph at which they begin. */
  readonly top: number;
  readonly rows: number;
}

/** Sums of the logits of windows, for the rows of a photograph that further windows can still reach. */
export class LogitBand {
  readonly #classes: number;
  /** Of the photograph, and of the band. */
  readonly #width: number;
  readonly #height: number;
  readonly #sums: Float32Array;
  /** First row of the photograph that is held. */
  #top = 0;

  constructor(classes: number, width: number, height: number) {
    this.#classes = classes;
    this.#width = width;
    this.#height = height;
    this.#sums = new Float32Array(classes * width * height);
  }

  /** Adds the logits of a window that lies at the band's first row: `pixels` [K, H, W], of which the padding is cut off. */
  add({ left, width, height }: Rectangle, { shape, data }: Tensor<'float32'>): void {
    const [, , padded, paddedWidth] = shape as readonly [number, number, number, number];
    for (let k = 0; k < this.#classes; k++) {
      for (let row = 0; row < height; row++) {
        const from = (k * padded + row) * paddedWidth;
        const to = (k * this.#height + row) * this.#width + left;
        for (let x = 0; x < width; x++) this.#sums[to + x]! += data[from + x]!;
      }
    }
  }

  /** Gives the rows above `next` to `take`, and forgets them: the band then begins there. */
  finish(next: number, take: (finished: LogitRows) => void): void {
    const rows = next - this.#top;
    const plane = this.#height * this.#width;
    take({ sums: this.#sums, plane, width: this.#width, classes: this.#classes, top: this.#top, rows });
    for (let k = 0; k < this.#classes; k++) {
      const one = this.#sums.subarray(k * plane, (k + 1) * plane);
      one.copyWithin(0, rows * this.#width);
      one.fill(0, plane - rows * this.#width);
    }
    this.#top = next;
  }
}
