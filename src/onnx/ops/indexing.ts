import { tensor } from '../../tensor/tensor.js';
import { emitOne, type Value } from '../graph.js';
import { formatShape, GraphError, normaliseAxis, staticShape } from '../shapes.js';

/** Operators that pick elements by computed indices. */

/** Slices of `x` along an axis at int64 indices: the axis is replaced by the shape of the indices. */
export function gather(x: Value, indices: Value, axis: number): Value {
  if (indices.dtype !== 'int64') throw new GraphError(`Gather: indices must be int64, got ${indices.dtype}`);
  const position = normaliseAxis('Gather', axis, x.shape);
  const shape = [...x.shape.slice(0, position), ...indices.shape, ...x.shape.slice(position + 1)];
  return emitOne('Gather', [x, indices], { dtype: x.dtype, shape }, { axis: position });
}

/** `y[..., i, ...] = x[..., indices[..., i, ...], ...]` along an axis; the indices have the rank of x. */
export function gatherElements(x: Value, indices: Value, axis: number): Value {
  const position = normaliseAxis('GatherElements', axis, x.shape);
  const fits =
    indices.dtype === 'int64' &&
    indices.shape.length === x.shape.length &&
    indices.shape.every((dim, i) => i === position || dim === x.shape[i]);
  if (!fits) {
    throw new GraphError(
      `GatherElements: ${indices.dtype} indices ${formatShape(indices.shape)} do not fit ${formatShape(x.shape)} along axis ${axis}`,
    );
  }
  return emitOne('GatherElements', [x, indices], { dtype: x.dtype, shape: indices.shape }, { axis: position });
}

/**
 * Rows that are 1 at int64 indices [...] and 0 elsewhere: float32 [..., depth]. No gradient. A comparison with
 * 0..depth - 1 is slower, and CUDA has no kernel for Equal in the form that it has since operator set 19.
 */
export function oneHot(indices: Value, depth: number): Value {
  if (indices.dtype !== 'int64') throw new GraphError(`OneHot: indices must be int64, got ${indices.dtype}`);
  const { graph } = indices;
  const offOn = graph.shared('oneHot', () => tensor('float32', [2], Float32Array.of(0, 1)));
  const output = { dtype: 'float32' as const, shape: [...indices.shape, depth] };
  return emitOne('OneHot', [indices, graph.scalar(depth, 'int64'), offOn], output, { axis: -1 });
}

/** `target` plus every update added at its index along an axis; repeated indices add up. */
export function scatterElementsAdd(target: Value, indices: Value, updates: Value, axis: number): Value {
  return emitOne(
    'ScatterElements',
    [target, indices, updates],
    { dtype: target.dtype, shape: target.shape },
    { axis, reduction: 'add' },
  );
}

/** `target` [N, ...] plus every update added at its row index [I] -> [N, ...]; repeated indices add up. */
export function scatterRowsAdd(target: Value, indices: Value, updates: Value): Value {
  const output = { dtype: target.dtype, shape: target.shape };
  return emitOne('ScatterND', [target, indices, updates], output, { reduction: 'add' });
}

/**
 * Values and int64 indices of the k smallest elements along the last axis, in ascending order, lower index first on ties.
 * @param k a number, or an int64 value [1] that is known when the graph runs: then lengths may be dynamic too, and the
 *   outputs' last dimension has its name.
 */
export function smallest(x: Value, k: number | Value): { values: Value; indices: Value } {
  const kept = [...x.shape.slice(0, -1), typeof k === 'number' ? checkedCount(x, k) : k.name];
  const [values, indices] = x.graph.emit(
    'TopK',
    [x, typeof k === 'number' ? x.graph.integers([k]) : k],
    [
      { dtype: x.dtype, shape: kept },
      { dtype: 'int64', shape: kept },
    ],
    { axis: -1, largest: 0, sorted: 1 },
  );
  return { values: values as Value, indices: indices as Value };
}

function checkedCount(x: Value, k: number): number {
  const shape = staticShape(x.shape, 'TopK');
  const length = shape.at(-1) ?? 0;
  if (!Number.isInteger(k) || k < 1 || k > length)
    throw new GraphError(`TopK: k = ${k} is outside 1..${length} of ${formatShape(shape)}`);
  return k;
}
