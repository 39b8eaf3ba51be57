import { isDeepStrictEqual } from 'node:util';
import type { OutputName } from '../../engine/engine.js';
import { HeadError } from '../../heads/segmentationFolder.js';
import { encodeUpsampling, LOGITS_OUTPUT, PIXELS_OUTPUT } from '../../heads/segmentationGraph.js';
import type { HeadMap } from '../../heads/segmentationHead.js';
import type { Rectangle, RgbImage, Size } from '../../image/types.js';
import { createSession, runSession, type SessionConfig } from '../../onnx/session.js';
import { pipelined } from '../../probe/pipelined.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import type { Subject } from '../subjects/subject.js';
import { copyWindow, paddedSize, type WindowOptions, windowsOf } from './windows.js';

/** Segments photographs with a network and a head. */
export interface Segmenter {
  /**
   * The most likely label of every pixel, rows from the top: uint8 [height * width]. A photograph that is larger than a window
   * is segmented window by window; where windows overlap, their logits are averaged.
   * @throws EngineError; HeadError for a head that does not fit the maps or the classes.
   */
  segment(image: RgbImage): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface SegmenterOptions {
  readonly maps: readonly HeadMap[];
  readonly classes: number;
  readonly window: WindowOptions;
  /**
   * Windows of one photograph that are computed at once; fewer if their logits take more than 512 MiB. Default 1: for callers that
   * segment several photographs at once.
   */
  readonly windowsAtOnce?: number;
  readonly session?: SessionConfig;
}

/** Logits that are held at once, in bytes: those of a window of 512 x 512 pixels and 150 classes take 157 MB. */
const LOGIT_BYTES = 512 * 1024 * 1024;

/** Bytes of the logits of a window's pixels, with its padding. */
function windowBytes(image: Size, { classes, window }: Pick<SegmenterOptions, 'classes' | 'window'>, stride: number) {
  const { width, height } = paddedSize(windowsOf(image, window)[0]!, stride);
  return classes * width * height * 4;
}

/**
 * How many photographs may be segmented at once: each holds the logits of one window, and their sums over the rows of a window at
 * the width of the photograph.
 * @param images sizes of the photographs; the one that takes the most decides.
 * @param stride of the subject, in pixels
 */
export function photographsAtOnce(
  images: readonly Size[],
  options: Pick<SegmenterOptions, 'classes' | 'window'>,
  stride: number,
): number {
  let most = 1;
  for (const image of images) {
    const band = options.classes * image.width * Math.min(image.height, options.window.side) * 4;
    most = Math.max(most, band + windowBytes(image, options, stride));
  }
  return Math.max(1, Math.floor(LOGIT_BYTES / most));
}

/** Sums of the logits of windows, for the rows of the photograph that further windows can still reach. */
class LogitBand {
  readonly classes: number;
  /** Of the photograph, and of the band. */
  readonly width: number;
  readonly height: number;
  readonly #sums: Float32Array;
  /** First row of the photograph that is held. */
  #top = 0;

  constructor(classes: number, width: number, height: number) {
    this.classes = classes;
    this.width = width;
    this.height = height;
    this.#sums = new Float32Array(classes * width * height);
  }

  /** Adds the logits of a window that lies at the band's first row: `pixels` [K, H, W], of which the padding is cut off. */
  add({ left, width, height }: Rectangle, { shape, data }: Tensor<'float32'>): void {
    const [, , padded, paddedWidth] = shape as readonly [number, number, number, number];
    for (let k = 0; k < this.classes; k++) {
      for (let row = 0; row < height; row++) {
        const from = (k * padded + row) * paddedWidth;
        const to = (k * this.height + row) * this.width + left;
        for (let x = 0; x < width; x++) this.#sums[to + x]! += data[from + x]!;
      }
    }
  }

  /** Writes the labels of the rows above `next` and forgets them: the band then begins there. */
  finish(next: number, labels: Uint8Array): void {
    const rows = next - this.#top;
    const plane = this.height * this.width;
    const best = this.#sums.slice(0, rows * this.width);
    const at = this.#top * this.width;
    for (let k = 1; k < this.classes; k++) {
      for (let i = 0; i < best.length; i++) {
        const value = this.#sums[k * plane + i]!;
        if (value > best[i]!) {
          best[i] = value;
          labels[at + i] = k;
        }
      }
    }
    for (let k = 0; k < this.classes; k++) {
      const one = this.#sums.subarray(k * plane, (k + 1) * plane);
      one.copyWithin(0, rows * this.width);
      one.fill(0, plane - rows * this.width);
    }
    this.#top = next;
  }
}

/** @throws HeadError for a graph that the runtime refuses, in its words. */
async function ofHead<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new HeadError(`the graph of the head cannot be used: ${message.trim()}; train the head again`, { cause });
  }
}

/**
 * @param head graph of `encodeSegmentationHead`
 * @param subject stays the caller's
 * @throws HeadError for another graph.
 */
export async function createSegmenter(
  subject: Subject,
  head: Uint8Array,
  options: SegmenterOptions,
): Promise<Segmenter> {
  const { maps, classes, window, windowsAtOnce = 1, session = {} } = options;
  const wants = new Set(maps.map(({ name }) => name as OutputName));
  const headSession = await ofHead(createSession(head, session));
  const upsampling = await createSession(encodeUpsampling(classes, maps[0]!.stride), session);

  async function pixelLogits(pixels: Tensor<'uint8'>): Promise<Tensor<'float32'>> {
    const outputs = await subject.run(pixels, wants);
    const feeds = Object.fromEntries(maps.map(({ name }) => [name, outputs[name as OutputName]! as Tensor]));
    const logits = (await ofHead(runSession(headSession, feeds))).get(LOGITS_OUTPUT);
    const [rows, columns] = [1, 2].map((axis) => pixels.shape[axis]! / maps[0]!.stride);
    const expected = [1, rows, columns, classes];
    if (!isDeepStrictEqual(logits?.shape, expected)) {
      throw new HeadError(
        `the graph of the head gives logits of [${logits?.shape ?? 'none'}], and its manifest says [${expected}]; train the head again`,
      );
    }
    return (await runSession(upsampling, { [LOGITS_OUTPUT]: logits! })).get(PIXELS_OUTPUT) as Tensor<'float32'>;
  }

  return {
    async segment(image) {
      const windows = windowsOf(image, window);
      const size = paddedSize(windows[0]!, subject.stride);
      const labels = new Uint8Array(image.width * image.height);
      const band = new LogitBand(classes, image.width, windows[0]!.height);
      const cut = async (i: number) => {
        const pixels = new Uint8Array(size.width * size.height * 3);
        copyWindow(image, windows[i]!, size, false, pixels);
        return tensor('uint8', [1, size.height, size.width, 3], pixels);
      };
      const fitting = Math.max(1, Math.floor(LOGIT_BYTES / windowBytes(image, options, subject.stride)));
      const runs = Math.min(windowsAtOnce, fitting);
      let i = 0;
      for await (const logits of pipelined(windows.length, cut, pixelLogits, { runs })) {
        band.add(windows[i]!, logits);
        const next = windows[++i];
        if (next === undefined) band.finish(image.height, labels);
        else if (next.top > windows[i - 1]!.top) band.finish(next.top, labels);
      }
      return labels;
    },
    async close() {
      await headSession.release();
      await upsampling.release();
    },
  };
}
