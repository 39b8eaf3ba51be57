import { encodeModel } from '../../onnx/encode.js';
import type { Graph, Value } from '../../onnx/graph.js';
import { rewriteGraph } from '../../onnx/rewrite.js';
import { createSession, runSession } from '../../onnx/session.js';
import type { Tensor } from '../../tensor/tensor.js';
import { ModelFolderError } from '../modelFolderError.js';
import { Histogram } from './histogram.js';

/** A network input [1, H, W, 3] for the backbone, or maps and representations for a head. */
export type CalibrationInputs = AsyncIterable<Tensor> | Iterable<Tensor>;

/**
 * Runs a graph of one input over calibration inputs and collects histograms of values inside it.
 * @returns a histogram for each value.
 * @throws ModelFolderError naming the value and the input for an element that is not finite.
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
    let count = 0;
    for await (const input of inputs) {
      count += 1;
      const outputs = await runSession(session, { [graph.inputs[0]!.name]: input });
      for (const [name, value] of named) {
        try {
          histograms.get(value)!.add(outputs.get(name)!.data as Float32Array);
        } catch (cause) {
          throw new ModelFolderError(
            `the float model cannot be quantized: with calibration image ${count}, ${(cause as Error).message} in the activation ` +
              `"${value.name}"; are its weights damaged?`,
            { cause },
          );
        }
      }
    }
  } finally {
    await session.release();
  }
  return histograms;
}
