/** Shapes of graph values: dimensions are numbers, or names where a dimension is known only when the graph runs. */

/** A static size, or the name (or formula) of a dynamic one. */
export type Dim = number | string;
export type Shape = readonly Dim[];

/** A graph that cannot be built: wrong shapes, dtypes or attributes. The message names the operator and the dimensions. */
export class GraphError extends Error {
  override readonly name = 'GraphError';
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

export function isStatic(shape: Shape): shape is readonly number[] {
  return shape.every((dim) => typeof dim === 'number');
}

/**
 * The shape as numbers.
 * @throws GraphError naming `what` when a dimension is dynamic.
 */
export function staticShape(shape: Shape, what: string): readonly number[] {
  if (!isStatic(shape)) throw new GraphError(`${what}: the shape ${formatShape(shape)} must be static`);
  return shape;
}

/**
 * NumPy broadcasting of two shapes.
 * @throws GraphError naming the operator when two dimensions differ and neither is 1.
 */
export function broadcastShapes(operator: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const left = a[i - rank + a.length] ?? 1;
    const right = b[i - rank + b.length] ?? 1;
    if (left === right || right === 1) return left;
    if (left === 1) return right;
    throw new GraphError(
      `${operator}: shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast (${left} and ${right})`,
    );
  });
}

/**
 * An axis counted from the front.
 * @throws GraphError when the axis is outside -rank..rank-1.
 */
export function normaliseAxis(operator: string, axis: number, shape: Shape): number {
  const positive = axis < 0 ? axis + shape.length : axis;
  if (!Number.isInteger(axis) || positive < 0 || positive >= shape.length) {
    throw new GraphError(`${operator}: axis ${axis} is outside the shape ${formatShape(shape)}`);
  }
  return positive;
}
