import type { Body, Graph, Value } from '../graph.js';
import { formatShape, GraphError, sameShape } from '../shapes.js';

/** Repetition inside a graph: ONNX Scan. */

export interface ScanBinding {
  /** Values handed from one repetition to the next: the body's input, the outer value that it starts with, and the body's output that follows it. */
  readonly state: readonly { readonly input: string; readonly initial: Value; readonly output: string }[];
  /** Values of which each repetition gets its own: the body's input of shape [...] and the outer value [repeats, ...]. */
  readonly slices: readonly { readonly input: string; readonly stacked: Value }[];
  /** The body's outputs of shape [...] that are collected as [repeats, ...]. */
  readonly collected: readonly string[];
}

export interface ScanOutputs {
  /** The last repetition's state, in the order of the binding. */
  readonly state: readonly Value[];
  readonly collected: readonly Value[];
}

/**
 * Runs a graph once for each slice along the first axis of the stacked values.
 * @throws GraphError if the binding and the body do not fit: an input that is bound to nothing, an unknown name,
 *   another dtype or shape, stacked values of different lengths or none.
 */
export function scan(body: Graph, { state, slices, collected }: ScanBinding): ScanOutputs {
  const inputs = new Map(body.inputs.map((input) => [input.name, input]));
  const fits = (name: string, value: Pick<Value, 'dtype' | 'shape'>, given: Pick<Value, 'dtype' | 'shape'>) => {
    if (value.dtype === given.dtype && sameShape(value.shape, given.shape)) return;
    throw new GraphError(
      `Scan: the body's "${name}" is ${value.dtype} ${formatShape(value.shape)}, given ${given.dtype} ${formatShape(given.shape)}`,
    );
  };
  const inputOf = (name: string): Value => {
    const input = inputs.get(name);
    if (input === undefined) throw new GraphError(`Scan: the body has no input "${name}", or it is bound twice`);
    inputs.delete(name);
    return input;
  };
  const outputOf = (name: string): Value => {
    const output = body.outputs.get(name);
    if (output === undefined) throw new GraphError(`Scan: the body has no output "${name}"`);
    return output;
  };

  const repeats = slices[0]?.stacked.shape[0];
  if (repeats === undefined)
    throw new GraphError('Scan: give at least one stacked value, whose length is the number of repetitions');
  for (const { input, initial, output } of state) {
    fits(input, inputOf(input), initial);
    fits(output, outputOf(output), initial);
  }
  for (const { input, stacked } of slices) {
    const { dtype, shape } = inputOf(input);
    fits(input, { dtype, shape: [repeats, ...shape] }, stacked);
  }
  const [loose] = inputs.keys();
  if (loose !== undefined) throw new GraphError(`Scan: the body's input "${loose}" is bound to nothing`);

  const bound: Body = {
    graph: body,
    inputs: [...state.map(({ input }) => input), ...slices.map(({ input }) => input)],
    outputs: [...state.map(({ output }) => output), ...collected],
  };
  const operands = [...state.map(({ initial }) => initial), ...slices.map(({ stacked }) => stacked)];
  const types = [
    ...state.map(({ initial: { dtype, shape } }) => ({ dtype, shape })),
    ...collected.map((name) => {
      const { dtype, shape } = outputOf(name);
      return { dtype, shape: [repeats, ...shape] };
    }),
  ];
  const outputs = operands[0]!.graph.emit('Scan', operands, types, {
    body: { body: bound },
    num_scan_inputs: slices.length,
  });
  return { state: outputs.slice(0, state.length), collected: outputs.slice(state.length) };
}
