/**
 * Times the weight gradient of a depthwise 7x7 convolution in each of its forms (src/onnx/ops/depthwiseGradient.ts), for the
 * maps of a ConvNeXt. Prints one line of JSON for each map: the milliseconds of each form, as the median and of the fastest
 * run. The rows of src/onnx/convolutionForms.ts come from these figures.
 *
 *   node dist/scripts/bench/depthwiseGradient.js [--device cuda] [--batch 64] [--maps 56x96,28x192,14x384,7x768]
 *     [--threads 2] [--seconds 1]
 *
 * The runs of the forms alternate. A form that the device refuses is reported with its error.
 */
import { parseArgs } from 'node:util';
import { median } from '../../src/bench/quantile.js';
import type { DepthwiseGradientForm } from '../../src/onnx/convolutionForms.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { Graph } from '../../src/onnx/graph.js';
import { depthwiseWeightGradient } from '../../src/onnx/ops/depthwiseGradient.js';
import type { InferenceSession } from '../../src/onnx/runtime.js';
import { createSession, toOrt } from '../../src/onnx/session.js';
import { elementCount, tensor, zeros } from '../../src/tensor/tensor.js';

const KERNEL = { size: 7, dilation: 1 };
const FORMS: readonly DepthwiseGradientForm[] = ['planes', 'rows'];
const MIN_RUNS = 3;

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cpu' },
    batch: { type: 'string', default: '64' },
    maps: { type: 'string', default: '56x96,28x192,14x384,7x768' },
    threads: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '1' },
  },
});
const { device } = values;
if (device !== 'cpu' && device !== 'cuda') throw new Error(`--device is ${device}; it is cpu or cuda`);
const batch = Number(values.batch);

/** A session for each form that the device accepts, and the errors of the other forms. */
async function openForms(shape: readonly number[]) {
  const sessions = new Map<DepthwiseGradientForm, InferenceSession>();
  const errors: Partial<Record<DepthwiseGradientForm, string>> = {};
  for (const form of FORMS) {
    const graph = new Graph(undefined, device as 'cpu' | 'cuda');
    const [x, gy] = [graph.input('x', 'float32', shape), graph.input('gy', 'float32', shape)];
    graph.output('gradient', depthwiseWeightGradient(x, gy, KERNEL, form));
    try {
      const config = { threads: Number(values.threads), spinning: false, device: device as 'cpu' | 'cuda' };
      sessions.set(form, await createSession(encodeModel(graph), config));
    } catch (error) {
      errors[form] = (error as Error).message;
    }
  }
  return { sessions, errors };
}

for (const map of values.maps.split(',')) {
  const [side, channels] = map.split('x').map(Number) as [number, number];
  const shape = [batch, channels, side, side];
  const random = () =>
    toOrt(
      tensor(
        'float32',
        shape,
        Float32Array.from({ length: elementCount(shape) }, () => Math.random() - 0.5),
      ),
    );
  const feeds = { x: random(), gy: random() };
  const fetches = { gradient: toOrt(zeros('float32', [channels, 1, KERNEL.size, KERNEL.size])) };
  const { sessions, errors } = await openForms(shape);
  const times = new Map<DepthwiseGradientForm, number[]>();
  const end = () => performance.now() + Number(values.seconds) * 1e3;
  for (const [form, session] of sessions) {
    try {
      await session.run(feeds, fetches);
      times.set(form, []);
    } catch (error) {
      errors[form] = (error as Error).message;
    }
  }
  for (let until = end(), runs = 0; runs < MIN_RUNS || performance.now() < until; runs++) {
    for (const [form, list] of times) {
      const start = performance.now();
      await sessions.get(form)!.run(feeds, fetches);
      list.push(performance.now() - start);
    }
  }
  for (const session of sessions.values()) await session.release();
  const ms = Object.fromEntries([...times].map(([form, list]) => [form, Number(median(list).toPrecision(3))]));
  const best = Object.fromEntries([...times].map(([form, list]) => [form, Number(Math.min(...list).toPrecision(3))]));
  const errorsPart = Object.keys(errors).length > 0 && { errors };
  console.log(JSON.stringify({ map: `${side}x${side}`, channels, batch, device, ms, best, ...errorsPart }));
}
