import { elementCount, type Tensor, tensor } from '../../tensor/tensor.js';
import { encodeModel } from '../encode.js';
import { gradients } from '../gradients.js';
import { Graph, type Provider, type Value } from '../graph.js';
import { mul } from '../ops/elementwise.js';
import { reduceSum } from '../ops/reduce.js';
import { createSession, runSession } from '../session.js';

/** Checks a gradient rule against central differences. */

export interface GradientCase {
  /** Shapes of the differentiable inputs. */
  readonly shapes: readonly (readonly number[])[];
  /** float64 where the CPU provider has the operator for it. */
  readonly dtype?: 'float64' | 'float32';
  /** The function under test; it may add constants of its own. */
  readonly build: (inputs: readonly Value[], graph: Graph) => Value;
  /** Elements are drawn uniformly from this range, away from kinks and poles. */
  readonly range?: readonly [number, number];
  /** Step of the difference: 1e-5 in float64; linear operators in float32 take a large one. */
  readonly step?: number;
  readonly opset?: number;
  /** For which gradients take their forms; the graph is run on the CPU. */
  readonly provider?: Provider;
}

export interface GradientComparison {
  /** Operators of the forward graph. */
  readonly operators: ReadonlySet<string>;
  /** Largest norm(analytic - numeric) / norm(numeric) over the inputs. */
  readonly error: number;
}

/** Deterministic numbers in a range; a low-discrepancy sequence keeps ties away. */
function fill(count: number, [low, high]: readonly [number, number], salt: number): number[] {
  return Array.from(
    { length: count },
    (_, i) => low + (high - low) * (((i + 1) * 0.618033988749895 + salt * 0.37) % 1),
  );
}

function floats(dtype: 'float64' | 'float32', shape: readonly number[], values: readonly number[]): Tensor {
  return dtype === 'float64'
    ? tensor('float64', shape, Float64Array.from(values))
    : tensor('float32', shape, Float32Array.from(values));
}

export async function compareGradients(testCase: GradientCase): Promise<GradientComparison> {
  const { shapes, dtype = 'float64', build, range = [-1, 1], opset = 20, provider } = testCase;
  const step = testCase.step ?? (dtype === 'float64' ? 1e-5 : 1e-2);
  const graph = new Graph(opset, provider);
  const inputs = shapes.map((shape, i) => graph.input(`x${i}`, dtype, shape));
  const output = build(inputs, graph);
  const operators = new Set(graph.nodes.map((node) => node.operator));
  const outputShape = output.shape as readonly number[];
  const weights = floats(dtype, outputShape, fill(elementCount(outputShape), [-1, 1], 5));
  const loss = reduceSum(mul(output, graph.constant(weights)));
  graph.output('loss', loss);
  gradients(loss, inputs).forEach((gradient, i) => {
    graph.output(`gradient${i}`, gradient);
  });

  const session = await createSession(encodeModel(graph), { threads: 1 });
  const points = shapes.map((shape, i) => fill(elementCount(shape), range, i));
  const feeds = () => Object.fromEntries(points.map((values, i) => [`x${i}`, floats(dtype, shapes[i]!, values)]));
  const lossAt = async () => Number((await runSession(session, feeds(), ['loss'])).get('loss')!.data[0]);
  const analytic = await runSession(session, feeds());
  let error = 0;
  for (const [i, values] of points.entries()) {
    const expected = analytic.get(`gradient${i}`)!.data;
    let difference = 0;
    let norm = 0;
    for (let element = 0; element < values.length; element++) {
      const at = values[element]!;
      values[element] = at + step;
      const above = await lossAt();
      values[element] = at - step;
      const below = await lossAt();
      values[element] = at;
      const numeric = (above - below) / (2 * step);
      difference += (Number(expected[element]) - numeric) ** 2;
      norm += numeric ** 2;
    }
    error = Math.max(error, Math.sqrt(difference / Math.max(norm, 1e-12)));
  }
  await session.release();
  return { operators, error };
}
