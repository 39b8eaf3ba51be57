import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { graphProblems, type KernelTables, readKernelTables } from '../../scripts/cuda/graphProblems.js';
import { type KernelQuery, kernelProblem } from '../../scripts/cuda/kernelTable.js';
import { distanceGraph } from '../../src/match/tiled/distanceProduct.js';
import type { ExportOptions, ExportSource } from '../../src/models/exportSource.js';
import { buildGraphs } from '../../src/models/modelGraphs.js';
import { architectureOf, type BackboneConfig, withOutputStride } from '../../src/nn/backbone.js';
import type { ElementType } from '../../src/onnx/elementTypes.js';
import { gradients } from '../../src/onnx/gradients.js';
import { EXPORT_OPSET, emitOne, Graph, TRAINING_OPSET, type Value } from '../../src/onnx/graph.js';
import { type Operator, type OperatorFacts, operators, type Signature } from '../../src/onnx/operators.js';
import { conv } from '../../src/onnx/ops/convolution.js';
import { add } from '../../src/onnx/ops/elementwise.js';
import { reduceSum } from '../../src/onnx/ops/reduce.js';
import { adamw } from '../../src/optim/adamw.js';
import { lars } from '../../src/optim/lars.js';
import { sgd } from '../../src/optim/sgd.js';
import { searchGraph } from '../../src/probe/knn.js';
import { stream } from '../../src/tensor/random.js';
import { type DType, tensor } from '../../src/tensor/tensor.js';
import { parseTrainConfig } from '../../src/train/config.js';
import { withEma } from '../../src/train/ema.js';
import { buildBackward, buildEmbed, buildLoss } from '../../src/train/microGraphs.js';
import { networkSpecs } from '../../src/train/networkSpecs.js';
import { linearProbeGraph } from '../../src/train/probe/linearProbe.js';
import { emitRepresentation } from '../../src/train/probe/representation.js';
import { repeatStep } from '../../src/train/repeatedStep.js';
import { runState } from '../../src/train/runState.js';
import type { StepConfig } from '../../src/train/stepConfig.js';
import { buildStep } from '../../src/train/stepGraph.js';
import { buildGradientNorm, buildUpdate, updateGroups } from '../../src/train/updateGraphs.js';
import { tinyKeys } from '../support/tinyRun.js';
import { tinyWeights } from '../support/tinyWeights.js';

/**
 * Checks every graph that would run on CUDA with the table of the provider's kernels: the version of each operator, and the
 * types of its inputs and outputs. No graph runs, so no GPU is needed. Nodes that ONNX Runtime's optimizations insert are not
 * checked. The CPU has all of these operators. Without this test, a missing kernel would show only on a GPU, as training that
 * is slow or does not start.
 *
 * There are no exceptions: no graph of ours computes shapes at run time (Shape, Range, Size), which ONNX Runtime always runs
 * on the CPU. Every shape is an int64 constant, which kernels read on the host.
 */

const convNext: BackboneConfig = { family: 'convnext', depths: [1, 1, 1, 1], widths: [8, 8, 16, 16], layerScale: 1 };
const basic: BackboneConfig = { family: 'resnet', block: 'basic', layers: [1, 1, 1, 1], width: 8 };
const bottleneck: BackboneConfig = { family: 'resnet', block: 'bottleneck', layers: [1, 1, 2, 1], width: 4 };
const backbones: Readonly<Record<string, BackboneConfig>> = {
  convNext,
  basic,
  bottleneck,
  'bottleneck of stride 8': withOutputStride(bottleneck, 8),
};

const adam = adamw({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.05 });
const [expander, localProjector] = [
  [24, 24, 20],
  [16, 16, 12],
];
const step: StepConfig = {
  model: { backbone: convNext, expander, localProjector },
  loss: {
    alpha: 0.75,
    numMatches: [3, 2],
    featureMatches: 'all',
    weights: { invariance: 25, variance: 25, covariance: 1 },
  },
  optimizer: adam,
  batchSize: 4,
  viewSizes: [64, 64],
  pixels: 'uint8',
  dropPath: false,
};
const withLoss = (loss: Partial<StepConfig['loss']>): Partial<StepConfig> => ({ loss: { ...step.loss, ...loss } });
/** Variants of the step that a configuration can select, one change at a time. */
const options: Readonly<Record<string, Partial<StepConfig>>> = {
  'by default': {},
  'of the global loss alone': { ...withLoss({ alpha: 1 }), model: { backbone: convNext, expander } },
  'of the local loss alone': { ...withLoss({ alpha: 0 }), model: { backbone: convNext, localProjector } },
  'of top feature matches': withLoss({ featureMatches: 'top' }),
  'of matches by location alone': withLoss({ matches: 'location' }),
  'of matches by feature alone': withLoss({ matches: 'feature' }),
  'of local weights of its own': withLoss({ localWeights: { invariance: 1, variance: 0, covariance: 0 } }),
  'of SimCLR': withLoss({ simclr: { temperature: 0.2 } }),
  'of SimCLR alone': {
    ...withLoss({ alpha: 1, simclr: { temperature: 0.2 } }),
    model: { backbone: convNext, expander },
  },
  'with small crops': { viewSizes: [96, 96, 64, 64] },
  'with drop path': { dropPath: true },
  'with an online classifier': { classes: 7 },
  'with clipping': { clipNorm: 1 },
  'of normalised pixels': { pixels: 'float32' },
  'by LARS': { optimizer: lars({ eta: 0.001, momentum: 0.9, weightDecay: 1e-6 }) },
  'by SGD': { optimizer: sgd({ momentum: 0.9, weightDecay: 1e-4, decayVectors: false }) },
  'with an average of the weights': { optimizer: withEma(adam, 0.99) },
  'in float16': { precision: 'fp16' },
  'in bfloat16': { precision: 'bf16' },
};

let tables: KernelTables;
before(async () => {
  tables = await readKernelTables();
});

const assertRuns = (graph: Graph): void => assert.deepEqual(graphProblems(graph, tables), []);

function stepConfig(backbone: BackboneConfig, option: Partial<StepConfig>): StepConfig {
  const config = { ...step, ...option };
  // Only a ConvNeXt has drop path.
  const dropPath = config.dropPath && backbone === convNext;
  return { ...config, dropPath, model: { ...config.model, backbone } };
}

for (const [network, backbone] of Object.entries(backbones)) {
  describe(`on CUDA, training of a ${network}`, () => {
    for (const [name, option] of Object.entries(options)) {
      const config = stepConfig(backbone, option);
      it(`has kernels for the step ${name}: single, repeated and in micro-batches`, () => {
        const built = buildStep(config, { provider: 'cuda' });
        assertRuns(built.graph);
        const state = runState(built, config).map((spec) => spec.name);
        assertRuns(repeatStep(built, state));

        const micro = { ...config, microBatch: 2 };
        for (const size of new Set(config.viewSizes)) {
          assertRuns(buildEmbed(micro, size, 'cuda'));
          assertRuns(buildBackward(micro, size, 'cuda'));
        }
        assertRuns(buildLoss(config, 'cuda').graph);
        const { parameters } = networkSpecs(config);
        assertRuns(buildGradientNorm(parameters, config).graph);
        for (const group of updateGroups(parameters)) assertRuns(buildUpdate(group, config));
      });
    }
  });
}

describe('on CUDA, probes between the steps', () => {
  it('have kernels for the representation', () => {
    for (const backbone of Object.values(backbones)) {
      const graph = new Graph(TRAINING_OPSET, 'cuda');
      graph.output('representation', emitRepresentation(graph, backbone, 4, 64).value);
      assertRuns(graph);
    }
  });

  it('have kernels for the nearest-neighbour search', () => assertRuns(searchGraph(8, 32, 16, 5)));

  it('have kernels for the linear classifier', () => {
    const { model, ...keys } = tinyKeys('photographs');
    const { expander: wide, localProjector: narrow } = model;
    const resNet = { architecture: 'resnet18', expander: wide, localProjector: narrow };
    for (const network of [model, resNet]) {
      const probe = { data: 'others', linear: { batchSize: 4 } };
      const config = parseTrainConfig({ ...keys, model: network, probe }, 'keys');
      assertRuns(linearProbeGraph(config, config.probe!.linear!, 10, 'cuda').graph);
    }
  });
});

function sourceOf(backbone: BackboneConfig): ExportSource {
  const weights = new Map(tinyWeights({ backbone, expander, localProjector }));
  const channels = weights.get('projector.0.weight')!.shape[1]!;
  weights.set('classifier.weight', tensor('float32', [5, channels], new Float32Array(5 * channels).fill(0.1)));
  weights.set('classifier.bias', tensor('float32', [5], new Float32Array(5)));
  return {
    ...{ name: 'tiny', version: '1', architecture: architectureOf(backbone), backbone, alpha: 0.75 },
    ...{ weights, license: 'Apache-2.0', expander, localProjector, classes: 5, training: {} },
  };
}

const forms: Readonly<Record<string, Partial<ExportOptions>>> = {
  'in float32': {},
  'in one file': { singleFile: true },
  'with the maps of all stages': { stages: [1, 2, 3, 4] },
  'of weights in halves': { precision: 'float16' },
  'of weights in halves in one file': { precision: 'float16', singleFile: true },
  'of float16 arithmetic': { precision: 'float16', compute: 'float16', stages: [2] },
};

for (const [network, backbone] of Object.entries(backbones)) {
  describe(`on CUDA, the exported graphs of a ${network}`, () => {
    const source = sourceOf(backbone);
    for (const [name, form] of Object.entries(forms)) {
      it(`have kernels ${name}`, async () => {
        const { graphs } = await buildGraphs(backbone, source, { precision: 'float32', ...form });
        assert.deepEqual(Object.keys(graphs).sort(), ['backbone', 'classifier', 'expander', 'localProjector']);
        for (const graph of Object.values(graphs)) assertRuns(graph);
      });
    }

    it('lack kernels in int8, so int8 runs on the CPU', async () => {
      const random = stream(0, 'pixels');
      const image = () =>
        tensor(
          'uint8',
          [1, 64, 64, 3],
          Uint8Array.from({ length: 64 * 64 * 3 }, () => random.integer(256)),
        );
      const quantize = { calibration: [image(), image()], heldOut: [], ranges: 'minmax' as const };
      const { graphs } = await buildGraphs(backbone, source, { precision: 'float32', quantize });
      const lacking = graphProblems(graphs.backbone, tables).map((line) => line.replace(/^.*?: /, ''));
      assert.deepEqual(
        [...new Set(lacking)],
        ['DequantizeLinear 13: no kernel for (int32, float32, int32) -> (float32)'],
      );
    });
  });
}

describe('on CUDA, other exported graphs', () => {
  it('have kernels for a representation that is normalised after the mean', async () => {
    const { graphs } = await buildGraphs(
      convNext,
      { ...sourceOf(convNext), poolingOrder: 'mean-norm' },
      { precision: 'float32' },
    );
    assertRuns(graphs.backbone);
  });

  it('have kernels for the nearest-vector search, although it runs on the CPU for precision', () => {
    assertRuns(distanceGraph());
  });
});

describe('the table of operators', () => {
  /** A call of an operator with the types of its signature. `dtype` replaces its first type variable. */
  function call(operator: string, { types }: OperatorFacts, dtype: ElementType) {
    const typed = (parameters: Signature['inputs']): ElementType[] =>
      parameters.map((parameter) => {
        if (parameter === 'T') return dtype;
        const allowed = parameter === 'U' ? types.U! : parameter;
        return allowed.includes('float32') ? 'float32' : allowed[0]!;
      });
    return { operator, inputs: typed(types.inputs), outputs: typed(types.outputs), attributes: {} };
  }

  for (const [operator, facts] of Object.entries(operators)) {
    it(`agrees with the provider's list on ${operator}`, () => {
      const { lastOpset = TRAINING_OPSET } = facts.cuda;
      for (const opset of [EXPORT_OPSET, TRAINING_OPSET]) {
        if ((facts.since ?? 1) > opset) continue;
        const dtypes: ElementType[] = ['float32', ...(facts.half === 'float16' ? (['float16'] as const) : [])];
        if (facts.types.T.includes('bfloat16')) dtypes.push('bfloat16');
        for (const dtype of dtypes.filter((one) => facts.types.T.includes(one))) {
          const problem = kernelProblem(tables.kernels, tables.versions, call(operator, facts, dtype), opset);
          if (opset <= lastOpset) assert.equal(problem, undefined, `of ${dtype} in ${opset}`);
          else assert.match(problem!, /there are kernels for/, `of ${dtype} in ${opset}`);
        }
      }
    });
  }

  it('has the operator set in which an operator was introduced', () => {
    for (const [operator, { since = 13 }] of Object.entries(operators)) {
      const first = tables.versions.get(operator)![0]!;
      assert.ok(since === 13 ? first <= since : first === since, `${operator}: ${first}`);
    }
  });

  it('lists the attribute values that kernels refuse', () => {
    const refused = (operator: Operator, attributes: KernelQuery['attributes']) =>
      kernelProblem(
        tables.kernels,
        tables.versions,
        { ...call(operator, operators[operator], 'float32'), attributes },
        TRAINING_OPSET,
      );
    assert.equal(
      refused('BatchNormalization', { training_mode: 1 }),
      'BatchNormalization with training_mode 1 is refused by the kernel',
    );
    assert.equal(refused('BatchNormalization', { training_mode: 0 }), undefined);
    assert.match(refused('ArgMin', { select_last_index: 1 })!, /select_last_index 1 is refused/);
    assert.match(refused('ScatterND', { reduction: 'max' })!, /reduction "max" is refused/);
    assert.equal(refused('ScatterElements', { reduction: 'max' }), undefined);
  });
});

describe('the check of graphs', () => {
  const lacking = (build: (x: Value) => Value) => {
    const graph = new Graph(TRAINING_OPSET, 'cuda');
    graph.output('y', build(graph.input('x', 'float32', [2, 3])));
    return graphProblems(graph, tables);
  };

  it('finds an operator whose version is newer than the kernel', () => {
    const problem = (operator: string, inputs: DType[], output: DType) =>
      kernelProblem(
        tables.kernels,
        tables.versions,
        { operator, inputs, outputs: [output], attributes: {} },
        TRAINING_OPSET,
      );
    assert.equal(
      problem('ReduceMin', ['float32', 'int64'], 'float32'),
      'ReduceMin 20: there are kernels for 18+, 1-17 only',
    );
    assert.equal(
      problem('Equal', ['float32', 'float32'], 'bool'),
      'Equal 19: there are kernels for 13+, 11-12, 7-10 only',
    );
    const pad = (x: Value) => emitOne('Pad', [x, x.graph.integers([0, 1, 0, 0])], { dtype: 'float32', shape: [2, 4] });
    assert.deepEqual(lacking(pad), ['Pad_2: Pad 19: there are kernels for 18+, 13-17, 11-12, 2-10 only']);
  });

  it('ignores nodes that no output depends on, and includes the nodes that gradients add', () => {
    assert.deepEqual(
      lacking((x) => {
        emitOne('Pad', [x, x.graph.integers([0, 1, 0, 0])], { dtype: 'float32', shape: [2, 4] });
        return add(x, x);
      }),
      [],
    );
    const graph = new Graph(TRAINING_OPSET, 'cuda');
    const maps = graph.input('maps', 'float32', [2, 4, 9, 9]);
    const weight = graph.input('weight', 'float32', [6, 4, 3, 3]);
    const [gradient] = gradients(reduceSum(conv(maps, weight, undefined, { padding: 1, stride: 2 })), [weight]);
    graph.output('gradient', gradient!);
    assertRuns(graph);
  });
});
