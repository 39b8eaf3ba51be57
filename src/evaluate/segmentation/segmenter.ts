import { isDeepStrictEqual } from 'node:util';
import type { OutputName } from '../../engine/engine.js';
import { HeadError } from '../../heads/segmentationFolder.js';
import { encodeUpsampling, LOGITS_OUTPUT, PIXELS_OUTPUT } from '../../heads/segmentationGraph.js';
import type { HeadMap } from '../../heads/segmentationHead.js';
import type { RgbImage, Size } from '../../image/types.js';
import { createSession, runSession, type SessionConfig } from '../../onnx/session.js';
import { pipelined } from '../../probe/pipelined.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import type { Subject } from '../subjects/subject.js';
import { LogitBand } from './logitBand.js';
import { ownLabels, resizedLabels } from './logitLabels.js';
import { rescaled, seenSize } from './seenSize.js';
import { copyWindow, paddedSize, type WindowOptions, windowsOf } from './windows.js';

/** Segments photographs with a network and a head. */
export interface Segmenter {
  /**
   * The most likely label of every pixel, rows from the top: uint8 [height * width]. A photograph that is larger than a window
   * is segmented window by window; where windows overlap, their logits are averaged. Of a rescaled photograph, the logits are brought
   * back to the photograph's size.
   * @throws EngineError; HeadError for a head that does not fit the maps or the classes.
   */
  segment(image: RgbImage): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface SegmenterOptions {
  readonly maps: readonly HeadMap[];
  readonly classes: number;
  readonly window: WindowOptions;
  /** See `seenSize`. */
  readonly shortest?: number | undefined;
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
 * @param images sizes at which the network sees the photographs; the one that takes the most decides.
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
  const { maps, classes, window, shortest, windowsAtOnce = 1, session = {} } = options;
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
      const seen = await rescaled(image, seenSize(image, shortest));
      const windows = windowsOf(seen, window);
      const size = paddedSize(windows[0]!, subject.stride);
      const own = seen.width === image.width && seen.height === image.height;
      const found = own ? ownLabels(image) : resizedLabels(image, seen, windows);
      const band = new LogitBand(classes, seen.width, windows[0]!.height);
      const cut = async (i: number) => {
        const pixels = new Uint8Array(size.width * size.height * 3);
        copyWindow(seen, windows[i]!, size, false, pixels);
        return tensor('uint8', [1, size.height, size.width, 3], pixels);
      };
      const fitting = Math.max(1, Math.floor(LOGIT_BYTES / windowBytes(seen, options, subject.stride)));
      const runs = Math.min(windowsAtOnce, fitting);
      let i = 0;
      for await (const logits of pipelined(windows.length, cut, pixelLogits, { runs })) {
        band.add(windows[i]!, logits);
        const next = windows[++i];
        if (next === undefined) band.finish(seen.height, found.take);
        else if (next.top > windows[i - 1]!.top) band.finish(next.top, found.take);
      }
      return found.labels;
    },
    async close() {
      await headSession.release();
      await upsampling.release();
    },
  };
}
