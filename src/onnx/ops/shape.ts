import { elementCount, type Tensor, zeros } from '../../tensor/tensor.js';
import { type ElementType, tensorElements } from '../elementTypes.js';
import { emitOne, type Graph, type Value } from '../graph.js';
import { operators } from '../operators.js';
import { formatShape, GraphError, isStatic, normaliseAxis, type Shape, staticShape } from '../shapes.js';

/** Operators that move elements without computing. */

/** The same elements, row-major, in another static shape; one dimension may be -1. */
export function reshape(x: Value, shape: readonly number[]): Value {
  const from = staticShape(x.shape, 'Reshape');
  const known = shape.reduce((product, dim) => (dim === -1 ? product : product * dim), 1);
  const total = elementCount(from);
  const resolved = shape.map((dim) => (dim === -1 ? total / known : dim));
  if (elementCount(resolved) !== total || !resolved.every(Number.isInteger)) {
    throw new GraphError(`Reshape: ${formatShape(from)} does not fit into ${formatShape(shape)}`);
  }
  if (resolved.length === from.length && resolved.every((dim, i) => dim === from[i])) return x;
  return emitOne('Reshape', [x, x.graph.integers(resolved)], { dtype: x.dtype, shape: resolved });
}

/** Permuted axes: output axis i is input axis perm[i]. The value itself where none moves. */
export function transpose(x: Value, perm: readonly number[]): Value {
  const sorted = [...perm].sort((a, b) => a - b);
  if (perm.length !== x.shape.length || !sorted.every((axis, i) => axis === i)) {
    throw new GraphError(`Transpose: [${perm.join(', ')}] does not permute the axes of ${formatShape(x.shape)}`);
  }
  if (perm.every((axis, i) => axis === i)) return x;
  const shape = perm.map((axis) => x.shape[axis] as number | string);
  return emitOne('Transpose', [x], { dtype: x.dtype, shape }, { perm });
}

/** The last two axes swapped. */
export function matrixTranspose(x: Value): Value {
  const rank = x.shape.length;
  const perm = x.shape.map((_, i) => i);
  perm.splice(rank - 2, 2, rank - 1, rank - 2);
  return transpose(x, perm);
}

/** Adds an axis of length 1 before each of the given positions of the OUTPUT shape. */
export function unsqueeze(x: Value, axes: readonly number[]): Value {
  const rank = x.shape.length + axes.length;
  const at = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  if (at.size !== axes.length || [...at].some((axis) => !Number.isInteger(axis) || axis < 0 || axis >= rank)) {
    throw new GraphError(`Unsqueeze: axes [${axes.join(', ')}] do not fit ${formatShape(x.shape)}`);
  }
  const rest = [...x.shape];
  const shape: Shape = Array.from({ length: rank }, (_, i) => (at.has(i) ? 1 : (rest.shift() as number | string)));
  return emitOne('Unsqueeze', [x, x.graph.integers(axes)], { dtype: x.dtype, shape });
}

interface SliceRange {
  readonly axis: number;
  readonly start: number;
  /** Exclusive; for a negative step it may be -infinity to reach the first element. */
  readonly end: number;
  readonly step?: number;
}

/** A strided range along each named axis; starts and ends count from the front. The value itself where all is in range. */
export function slice(x: Value, ranges: readonly SliceRange[]): Value {
  const shape = [...x.shape];
  const resolved = ranges.map(({ axis, start, end, step = 1 }) => {
    const position = normaliseAxis('Slice', axis, x.shape);
    const length = x.shape[position] as number | string;
    if (typeof length === 'string')
      throw new GraphError(`Slice: axis ${axis} of ${formatShape(x.shape)} must be static`);
    const count = Math.ceil((Math.max(end, -1) - start) / step);
    const last = start + (count - 1) * step;
    if (step === 0 || count <= 0 || start < 0 || start >= length || last < 0 || last >= length) {
      throw new GraphError(
        `Slice: range ${start}..${end} step ${step} is outside axis ${axis} of ${formatShape(x.shape)}`,
      );
    }
    shape[position] = count;
    // Axes that are kept whole are left out: the kernels would copy element by element.
    const whole = step === 1 && count === length;
    // A range that runs backwards to the first element ends before index 0, which ONNX writes as a large negative number.
    return { axis: position, start, end: step < 0 && end < 0 ? -(2 ** 31) : end, step, whole };
  });
  const kept = resolved.filter(({ whole }) => !whole);
  if (kept.length === 0) return x;
  const { graph } = x;
  return emitOne(
    'Slice',
    [
      x,
      graph.integers(kept.map(({ start }) => start)),
      graph.integers(kept.map(({ end }) => end)),
      graph.integers(kept.map(({ axis }) => axis)),
      graph.integers(kept.map(({ step }) => step)),
    ],
    { dtype: x.dtype, shape },
  );
}

/** Values joined along an axis. */
export function concat(values: readonly Value[], axis: number): Value {
  const first = values[0];
  if (first === undefined) throw new GraphError('Concat: needs at least one value');
  if (values.length === 1) return first;
  const position = normaliseAxis('Concat', axis, first.shape);
  let total = 0;
  for (const value of values) {
    const fits =
      value.dtype === first.dtype &&
      value.shape.length === first.shape.length &&
      value.shape.every((dim, i) => i === position || dim === first.shape[i]);
    const length = value.shape[position];
    if (!fits || typeof length !== 'number') {
      const shapes = values.map(({ shape }) => formatShape(shape)).join(', ');
      throw new GraphError(`Concat: shapes ${shapes} do not join along axis ${axis}`);
    }
    total += length;
  }
  const shape = first.shape.map((dim, i) => (i === position ? total : dim));
  return emitOne('Concat', [first, ...values.slice(1)], { dtype: first.dtype, shape }, { axis: position });
}

/** The value repeated to a larger static shape by broadcasting. */
export function expand(x: Value, shape: readonly number[]): Value {
  const offset = shape.length - x.shape.length;
  const fits = offset >= 0 && x.shape.every((dim, i) => dim === 1 || dim === shape[i + offset]);
  if (!fits) throw new GraphError(`Expand: ${formatShape(x.shape)} does not broadcast to ${formatShape(shape)}`);
  if (isStatic(x.shape) && offset === 0 && x.shape.every((dim, i) => dim === shape[i])) return x;
  return emitOne('Expand', [x, x.graph.integers(shape)], { dtype: x.dtype, shape });
}

/** Zeros of a static shape, repeated from one element. */
export function zerosOf(graph: Graph, dtype: ElementType, shape: readonly number[]): Value {
  const zero = graph.constant(
    zeros(
      tensorElements(dtype),
      shape.map(() => 1),
    ) as Tensor,
  );
  return expand(zero, shape);
}

/** Zeros around the value: `before` and `after` elements for every axis. The value itself if there are none. */
export function pad(x: Value, before: readonly number[], after: readonly number[]): Value {
  const from = staticShape(x.shape, 'Pad');
  if (before.length !== from.length || after.length !== from.length || [...before, ...after].some((n) => n < 0)) {
    throw new GraphError(`Pad: [${before.join(', ')}] and [${after.join(', ')}] do not fit ${formatShape(from)}`);
  }
  if ([...before, ...after].every((n) => n === 0)) return x;
  const { lastOpset = x.graph.opset } = operators.Pad.cuda;
  if (x.graph.provider === 'cuda' && x.graph.opset > lastOpset) return padByConcat(x, before, after);
  const shape = from.map((dim, i) => dim + (before[i] as number) + (after[i] as number));
  return emitOne('Pad', [x, x.graph.integers([...before, ...after])], { dtype: x.dtype, shape }, { mode: 'constant' });
}

/** The same as zeros joined to the value, axis by axis. */
function padByConcat(x: Value, before: readonly number[], after: readonly number[]): Value {
  return before.reduce((value, first, axis) => {
    const zerosAlong = (count: number) =>
      count === 0
        ? []
        : [
            zerosOf(
              x.graph,
              x.dtype,
              (value.shape as readonly number[]).map((dim, i) => (i === axis ? count : dim)),
            ),
          ];
    return concat([...zerosAlong(first), value, ...zerosAlong(after[axis]!)], axis);
  }, x);
}
