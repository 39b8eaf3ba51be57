import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { emulateHalf } from '../../test/support/emulatedHalf.js';
import '../../test/support/sharedSessions.js';
import {
  batchOf,
  convNext,
  multiCrop,
  near,
  norm,
  resNet,
  stepOf,
  weightsOf,
} from '../../test/support/trainingSteps.js';
import { isHalf } from '../onnx/elementTypes.js';
import { encodeModel } from '../onnx/encode.js';
import type { Graph, Node, Provider, Value } from '../onnx/graph.js';
import { type Operator, operators } from '../onnx/operators.js';
import { createSession, runSession } from '../onnx/session.js';
import { startState } from '../optim/state.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { buildBackward, buildEmbed, buildLoss } from './microGraphs.js';
import { runState } from './runState.js';
import { type StepConfig, stepNames } from './stepConfig.js';
import { stepFeeds } from './stepFeeds.js';
import { buildStep } from './stepGraph.js';

const isProduct = (operator: string) => operators[operator as Operator].halfProducts.length > 0;
/** Operators that may see values of 16 bits, besides products: conversions, and those that move elements. */
const MOVES = ['Cast', 'Concat', 'Expand', 'Gather', 'Pad', 'Reshape', 'Slice', 'Transpose'];

const half = ({ inputs, outputs }: Node) =>
  [...inputs, ...outputs].some((value) => value !== undefined && isHalf(value.dtype));

/** Whether a value of float32 has elements of 16 bits: converted, and perhaps moved. */
function isWidened({ node }: Value): boolean {
  const source = node?.inputs[0];
  if (node === undefined || source === undefined) return false;
  return node.operator === 'Cast' ? isHalf(source.dtype) : MOVES.includes(node.operator) && isWidened(source);
}

/** Whether a product is that of operands of 16 bits: in such a type, or in float32 where the CPU's kernel would not add up in it. */
const isRoundedProduct = (node: Node): boolean =>
  half(node) || node.inputs.every((input) => input === undefined || isWidened(input));

function operatorsIn({ nodes }: Graph, which: (node: Node) => boolean): Set<string> {
  return new Set(nodes.filter(which).map(({ operator }) => operator));
}

describe('training in half precision', () => {
  for (const precision of ['fp16', 'bf16'] as const) {
    for (const [name, config] of Object.entries({ convNext, multiCrop, resNet })) {
      for (const provider of ['cpu', 'cuda'] as const satisfies readonly Provider[]) {
        it(`computes the network's products in ${precision}, all else in float32: ${name} on ${provider}`, () => {
          const graphs = [
            buildStep({ ...config, precision }, { provider }).graph,
            ...[buildEmbed, buildBackward].map((build) =>
              build({ ...config, precision, microBatch: 4 }, config.viewSizes[0]!, provider),
            ),
          ];
          for (const graph of graphs) {
            for (const operator of operatorsIn(graph, half)) {
              assert.ok(isProduct(operator) || MOVES.includes(operator), `${operator} in 16 bits`);
              const { narrowSums } = operators[operator as Operator].cpu;
              if (provider === 'cpu' && precision === 'fp16') assert.equal(narrowSums, undefined, operator);
            }
            const owners = new Map(graph.nodes.map((node) => [`gradient/${node.name}`, node]));
            for (const node of graph.nodes.filter(({ operator }) => isProduct(operator))) {
              const owner = owners.get(node.name.slice(0, node.name.lastIndexOf('/')));
              const isRounded = precision === 'fp16' || !node.operator.startsWith('Conv');
              if (/(^|\/)loss\//.test(node.name)) assert.ok(!half(node), node.name);
              else if (owner === undefined || graph.pullbacks.has(owner.outputs[0]!))
                assert.equal(isRoundedProduct(node), isRounded, node.name);
              // The gradient of a product is computed as the product; that of anything else, such as a normalisation, in float32.
              else
                assert.equal(isRoundedProduct(node), isProduct(owner.operator) && isRoundedProduct(owner), node.name);
            }
          }
          assert.deepEqual([...operatorsIn(buildLoss({ ...config, precision }, provider).graph, half)], []);
        });
      }
    }
  }
});

const SCALE = 64;

/** Gradients and terms of a step. @param form of its graph, such as one in which 16-bit products are emulated */
async function gradientsOf(config: StepConfig, form: (graph: Graph) => Graph): Promise<Map<string, Tensor>> {
  const step = buildStep(config, { gradients: true });
  const session = await createSession(encodeModel(form(step.graph)), { threads: 1 });
  try {
    // At the scale in which a run starts, these gradients overflow.
    const scale: [string, Tensor] = ['loss_scale/value', tensor('float32', [], Float32Array.of(SCALE))];
    const initial = new Map([...weightsOf(config), scale]);
    const state = startState(runState(step, config), { initial, seed: 5 });
    const options = { dropPathRate: 0.4, seed: 5 };
    const feeds = stepFeeds(config, options, { step: 0, learningRate: 0.1, batch: batchOf(config) });
    const declared = new Set(step.graph.inputs.map(({ name }) => name));
    const given = new Map([...state, ...feeds].filter(([name]) => declared.has(name)));
    return await runSession(session, given);
  } finally {
    await session.release();
  }
}

describe('a step in half precision', () => {
  for (const [name, config] of Object.entries({ convNext, resNet })) {
    for (const [precision, tolerance, what, form] of [
      ['fp16', 3e-3, 'emulated', emulateHalf],
      ['fp16', 3e-3, 'as the CPU computes it', (graph: Graph) => graph],
      ['bf16', 3e-2, 'emulated', emulateHalf],
    ] as const) {
      it(`has nearly the loss and the gradients of float32: ${name} in ${precision}, ${what}`, async () => {
        const expected = await stepOf(config);
        const actual = await gradientsOf({ ...config, precision }, form);
        near(Number(actual.get('l')!.data[0]), expected.terms['l']!, tolerance, 'l');
        let rounded = 0;
        for (const spec of expected.state.keys()) {
          if (!spec.startsWith('kept/')) continue;
          const parameter = spec.slice('kept/'.length);
          const gradient = actual.get(stepNames.gradient(parameter))!.data as Float32Array;
          const reference = expected.state.get(spec)!.data as Float32Array;
          const difference = norm(gradient.map((value, i) => value - reference[i]!));
          assert.ok(Number.isFinite(difference), parameter);
          rounded = Math.max(rounded, difference / (norm(reference) + 1e-3 * expected.terms['grad_norm']!));
        }
        // It is near, and it is not the same: the products have been rounded.
        assert.ok(rounded < 30 * tolerance && rounded > tolerance / 100, String(rounded));
      });
    }
  }
});
