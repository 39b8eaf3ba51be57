import { reachable } from './encode.js';
import { Graph, type Value } from './graph.js';

/** A part of a graph between two exchanges with the other ranks. */
export interface Stage {
  readonly graph: Graph;
  /** Outputs of the stage that are summed over all ranks, in this order, and the inputs of later stages that take the sums. */
  readonly exchanges: readonly { readonly from: string; readonly to: string }[];
}

/** Name of a value that is computed in one stage and used in another. */
const cutName = (value: Value): string => `cut/${value.name}`;

/**
 * Splits a graph where values are summed over ranks (ops/exchange.ts). The stages run one after the other; each takes inputs of the
 * graph under their names, and `cut/...` values of earlier stages. Together they give the outputs of the graph.
 */
export function splitAtExchanges(graph: Graph): Stage[] {
  const { nodes } = reachable(graph, graph.outputs.values());
  /** The first stage in which a value is known. */
  const levels = new Map<Value, number>();
  let last = 0;
  const levelOf = (value: Value): number => levels.get(value) ?? 0;
  for (const { inputs, outputs } of nodes) {
    const known = Math.max(0, ...inputs.map((input) => (input === undefined ? 0 : levelOf(input))));
    for (const output of outputs) {
      const level = known + (graph.exchanged.has(output) ? 1 : 0);
      levels.set(output, level);
      last = Math.max(last, level);
    }
  }
  const stages = Array.from({ length: last + 1 }, () => ({
    graph: new Graph(graph.opset, graph.provider),
    values: new Map<Value, Value>(),
    exchanges: [] as { from: string; to: string }[],
  }));

  /** The value in a stage: made there, or an input. */
  const inStage = (value: Value, level: number): Value => {
    const { graph: part, values } = stages[level]!;
    const known = values.get(value);
    if (known !== undefined) return known;
    const isGiven = value.node === undefined && value.constant === undefined;
    if (value.node !== undefined && !graph.exchanged.has(value)) declareCut(value);
    const made =
      value.constant !== undefined
        ? part.constant(value.constant)
        : part.input(isGiven ? value.name : cutName(value), value.dtype, value.shape);
    values.set(value, made);
    return made;
  };
  const declareCut = (value: Value): void => {
    const { graph: part, values } = stages[levelOf(value)]!;
    if (!part.outputs.has(cutName(value))) part.output(cutName(value), values.get(value)!);
  };

  for (const { operator, inputs, outputs, attributes } of nodes) {
    const [first] = outputs;
    if (graph.exchanged.has(first!)) {
      const x = inputs[0]!;
      const level = levelOf(x);
      inStage(x, level);
      declareCut(x);
      stages[level]!.exchanges.push({ from: cutName(x), to: cutName(first!) });
      continue;
    }
    const level = levelOf(first!);
    const { graph: part, values } = stages[level]!;
    const made = part.emit(
      operator,
      inputs.map((input) => input && inStage(input, level)),
      outputs.map(({ dtype, shape }) => ({ dtype, shape })),
      attributes,
    );
    outputs.forEach((output, i) => {
      values.set(output, made[i]!);
    });
  }
  for (const [name, value] of graph.outputs) {
    const level = levelOf(value);
    stages[level]!.graph.output(name, inStage(value, level), graph.declaredShapes.get(name));
  }
  return stages.map(({ graph: part, exchanges }) => ({ graph: part, exchanges }));
}
