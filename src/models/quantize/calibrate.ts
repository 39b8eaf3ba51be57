import { encodeModel } from '../../onnx/encode.js';
import type { Graph, Value } from '../../onnx/graph.js';
import { rewriteGraph } from '../../onnx/rewrite.js';
import { createSession, runSession } from '../../onnx/session.js';
import type { Tensor } from '../../tensor/tensor.js';
import { Histogram } from './histogram.js';

/** A network input [1, H, W, 3] for the backbone, or maps and representations for a head. */
export type CalibrationInputs = AsyncIterable<Tensor> | Iterable<Tensor>;

/**
 * Runs a graph of one input over calibration inputs and collects histograms of values inside it.
 * @returns a histogram for each value.
 */
export async function observe(
  graph: Graph,
  values: Iterable<Value>,
  inputs: CalibrationInputs,
): Promise<ReadonlyMap<Value, Histogram>> {
  const named = new Map([...new Set(values)].map((value, i) => [`observed_${i}`, value]));
  const observed = rewriteGraph(graph, () => undefined, named);
  const histograms = new Map([...named.values()].map((value) => [value, new Histogram()]));
  const session = await createSession(encodeModel(observed));
  try {
    for await (const input of inputs) {
      const outputs = await runSession(session, { [graph.inputs[0]!.name]: input });
      for (const [name, value] of named) histograms.get(value)!.add(outputs.get(name)!.data as Float32Array);
    }
  } finally {
    await session.release();
  }
  return histograms;
}
