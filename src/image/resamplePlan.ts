import type { Rectangle, Size } from './types.js';

/** Steps of a resampling, in this order; what is left out is not done. */
export interface Resampling {
  /** Part of the source that is resized. */
  readonly from?: Rectangle;
  /** Size to which it is stretched. */
  readonly size: Size;
  /** Part of the result that is kept. */
  readonly keep?: Rectangle;
  /** Mirror what is kept left to right at the end. */
  readonly flip?: boolean;
}

/** One step of making a network input, and what it writes. */
export interface Stage {
  readonly name: 'decode' | 'orient' | 'cut' | 'shrink' | 'enlarge columns' | 'enlarge rows' | 'mirror';
  /** Pixels that it writes. */
  readonly pixels: number;
}

/** Pixels from one to another along an axis. */
interface Span {
  readonly start: number;
  readonly length: number;
}

/** One axis of a resampling: a part of the source is read, shrunk, cut, and enlarged; a step that does nothing keeps its length. */
export interface AxisPlan {
  /** Of the source. */
  readonly read: Span;
  /** Length to which that is shrunk. */
  readonly shrunk: number;
  /** Part of it that is written. */
  readonly window: Span;
  /** Where the enlargement takes its pixels; absent where the axis is not enlarged. */
  readonly taps?: Taps;
}

/** Four pixels of the window for each pixel that is kept, by Catmull-Rom's weights (a = -0.5). */
export interface Taps {
  /** [kept * 4], indices into the window. */
  readonly indices: Int32Array;
  /** [kept * 4]; four of them sum to 1. */
  readonly weights: Float32Array;
}

/** What a resampling reads and writes. */
export interface ResamplingPlan {
  readonly x: AxisPlan;
  readonly y: AxisPlan;
  /** Size of the result. */
  readonly kept: Size;
  /** In the order in which they work. */
  readonly stages: readonly Stage[];
}

/** First of the four pixels between which an output pixel lies, and how far it is from the second. */
function positionOf(output: number, scale: number): { readonly first: number; readonly offset: number } {
  const position = (output + 0.5) / scale - 0.5;
  const second = Math.floor(position);
  return { first: second - 1, offset: position - second };
}

/** @param length of the source's part; pixels beyond it repeat its border */
function tapsOf(keep: Span, scale: number, length: number, window: Span): Taps {
  const indices = new Int32Array(keep.length * 4);
  const weights = new Float32Array(keep.length * 4);
  for (let i = 0; i < keep.length; i++) {
    const { first, offset: t } = positionOf(keep.start + i, scale);
    for (let tap = 0; tap < 4; tap++) {
      indices[i * 4 + tap] = Math.min(Math.max(first + tap, 0), length - 1) - window.start;
    }
    weights[i * 4] = t * (-0.5 + t * (1 - 0.5 * t));
    weights[i * 4 + 1] = 1 + t * t * (-2.5 + 1.5 * t);
    weights[i * 4 + 2] = t * (0.5 + t * (2 - 1.5 * t));
    weights[i * 4 + 3] = t * t * (-0.5 + 0.5 * t);
  }
  return { indices, weights };
}

/**
 * @param from part of the source
 * @param size length to which it is resized
 * @param keep part of that which is kept
 */
function planAxis(from: Span, size: number, keep: Span): AxisPlan {
  if (size < from.length) return { read: from, shrunk: size, window: keep };
  const scale = size / from.length;
  // What the first and the last kept pixel read; all of it is inside, or the border.
  const first = Math.max(0, positionOf(keep.start, scale).first);
  const last = Math.min(from.length - 1, positionOf(keep.start + keep.length - 1, scale).first + 3);
  const window = size === from.length ? keep : { start: first, length: last - first + 1 };
  return {
    read: { start: from.start + window.start, length: window.length },
    shrunk: window.length,
    window: { start: 0, length: window.length },
    ...(size > from.length && { taps: tapsOf(keep, scale, from.length, window) }),
  };
}

/** Not by a spread: sizes may come with more, crops with their places. */
const wholeOf = ({ width, height }: Size): Rectangle => ({ left: 0, top: 0, width, height });

/**
 * Plans a resampling so that its work is bounded by what is kept: an axis that gets longer is enlarged from the few pixels
 * under what is kept, and one that gets shorter is read no further than that needs.
 * @param image size of the source
 */
export function planResampling(image: Size, steps: Resampling): ResamplingPlan {
  const { size } = steps;
  const from = steps.from ?? wholeOf(image);
  const keep = steps.keep ?? wholeOf(size);
  const x = planAxis({ start: from.left, length: from.width }, size.width, { start: keep.left, length: keep.width });
  const y = planAxis({ start: from.top, length: from.height }, size.height, { start: keep.top, length: keep.height });
  const kept = { width: keep.width, height: keep.height };
  const output = kept.width * kept.height;
  const shrinks = x.shrunk < x.read.length || y.shrunk < y.read.length;
  const enlarges = x.taps !== undefined || y.taps !== undefined;
  const stages: Stage[] = [];
  if (shrinks) stages.push({ name: 'shrink', pixels: x.window.length * y.window.length });
  if (enlarges) {
    stages.push({ name: 'enlarge columns', pixels: kept.width * y.window.length });
    stages.push({ name: 'enlarge rows', pixels: output });
  }
  if (!shrinks && !enlarges) stages.push({ name: 'cut', pixels: output });
  if (steps.flip === true) stages.push({ name: 'mirror', pixels: output });
  return { x, y, kept, stages };
}
