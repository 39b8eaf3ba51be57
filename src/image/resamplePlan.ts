import type { Rectangle, Size } from './types.js';

/** Steps of a resampling, in this order. Absent steps are left out. */
export interface Resampling {
  /** Part of the source to resize. Absent: all of it. */
  readonly from?: Rectangle;
  /** Size to which that part is resized. */
  readonly size: Size;
  /** Part of the resized image to keep. Absent: all of it. */
  readonly keep?: Rectangle;
  /** Whether to mirror the kept part left to right at the end. */
  readonly flip?: boolean;
}

/** One step of making a network input. */
export interface Stage {
  readonly name: 'decode' | 'orient' | 'cut' | 'shrink' | 'enlarge columns' | 'enlarge rows' | 'mirror';
  /** Pixels that it writes. */
  readonly pixels: number;
}

/** Consecutive pixels along an axis. */
interface Span {
  readonly start: number;
  readonly length: number;
}

/** One axis of a resampling: read a part of the source, shrink it, cut it, enlarge it. A step that is not needed keeps the length. */
export interface AxisPlan {
  /** Part of the source that is read. */
  readonly read: Span;
  /** Length to which that is shrunk. */
  readonly shrunk: number;
  /** Part of the shrunk axis that is written. */
  readonly window: Span;
  /** Pixels and weights of the enlargement. Absent if the axis is not enlarged. */
  readonly taps?: Taps;
}

/** Four pixels of the window for each kept pixel, with Catmull-Rom weights (a = -0.5). */
export interface Taps {
  /** [kept * 4], indices into the window. */
  readonly indices: Int32Array;
  /** [kept * 4]; the four of a pixel sum to 1. */
  readonly weights: Float32Array;
}

/** What a resampling reads and writes. */
export interface ResamplingPlan {
  readonly x: AxisPlan;
  readonly y: AxisPlan;
  /** Size of the result. */
  readonly kept: Size;
  /** In the order of execution. */
  readonly stages: readonly Stage[];
}

/** First of the four source pixels around an output pixel, and the distance of the output pixel from the second. */
function positionOf(output: number, scale: number): { readonly first: number; readonly offset: number } {
  const position = (output + 0.5) / scale - 0.5;
  const second = Math.floor(position);
  return { first: second - 1, offset: position - second };
}

/** @param length of the part of the source; pixels beyond it repeat its border */
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
 * @param from part of the source to resize
 * @param size length to which it is resized
 * @param keep part of the resized axis to keep
 */
function planAxis(from: Span, size: number, keep: Span): AxisPlan {
  if (size < from.length) return { read: from, shrunk: size, window: keep };
  const scale = size / from.length;
  // The pixels that the first and the last kept pixel read, limited to the part.
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

/** Not by a spread: the argument may have further fields, as crops do. */
const wholeOf = ({ width, height }: Size): Rectangle => ({ left: 0, top: 0, width, height });

/**
 * Plans a resampling so that its work is bounded by the kept part: an axis that gets longer is enlarged from the few pixels
 * under that part, and of one that gets shorter only the pixels that it needs are read.
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
