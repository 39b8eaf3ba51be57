import { noAugmentation } from '../../data/augment.js';
import { createLoader } from '../../data/loader.js';
import type { SkippedImage } from '../../data/sample.js';
import type { ImageSource } from '../../data/sources.js';
import { mapCells } from '../../nn/backbone.js';
import { linearLayer, ZEROS } from '../../nn/layers.js';
import { checkParameters, initialise, inputParameters, type Parameters } from '../../nn/parameters.js';
import { encodeModel } from '../../onnx/encode.js';
import { gradients } from '../../onnx/gradients.js';
import { Graph, type Provider, TRAINING_OPSET } from '../../onnx/graph.js';
import { createSession, runSession, type SessionConfig } from '../../onnx/session.js';
import { sgd } from '../../optim/sgd.js';
import { stateSpecs } from '../../optim/state.js';
import { emitUpdates } from '../../optim/updates.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import { crossEntropy, topAccuracy } from '../../vicregl/monitors.js';
import { CheckpointError } from '../checkpoint.js';
import { backboneOf, type TrainConfig } from '../config.js';
import type { Term } from '../loggedTerms.js';
import { type ProbeConfig, probeSizes } from '../probeSchema.js';
import { stepNames } from '../stepConfig.js';
import { emitRepresentation, networkFeeds } from './representation.js';

/**
 * A linear classifier that is trained during the run, on other images and on the representation of the network with its
 * present weights (evaluation mode). It does not change the network. Crops are random resized ones with random flips, as in
 * linear evaluation; the classifier's initial weights are N(0, 0.01).
 */
export interface LinearProbe {
  /** Takes one step of SGD on the weights that the run has now. Its loss and accuracy are those before the step. */
  learn(update: number, weights: ReadonlyMap<string, Tensor>): Promise<LinearMeasure>;
  /** The classifier and its momentum, for the checkpoint. */
  state(): ReadonlyMap<string, Tensor>;
  close(): Promise<void>;
}

export interface LinearMeasure {
  /** Absent if loss or weights were not finite: the classifier then starts again. */
  readonly terms?: { readonly probe_l: number; readonly probe_top1: number; readonly probe_top5: number };
  /** Images that cannot be decoded, and were replaced. */
  readonly skipped: readonly SkippedImage[];
}

type LinearKeys = NonNullable<ProbeConfig['linear']>;

/** Name of the classifier in checkpoints: `probe.weight` [classes, C], `probe.bias` [classes]. */
const CLASSIFIER = 'probe';
const LOGS = ['probe_l', 'probe_top1', 'probe_top5'] as const satisfies readonly Term[];

function optimizerOf({ momentum, weightDecay }: LinearKeys) {
  return sgd({ momentum, weightDecay, decayVectors: true });
}

/** A step of the classifier: uint8 `images` [B, crop, crop, 3] and int64 `labels` [B] through the current network. */
export function linearProbeGraph(
  config: Pick<TrainConfig, 'model' | 'crops' | 'probe'>,
  keys: LinearKeys,
  classes: number,
  provider: Provider,
): { readonly graph: Graph; readonly network: Parameters; readonly classifier: Parameters } {
  const { batchSize } = keys;
  const graph = new Graph(TRAINING_OPSET, provider);
  const { value, network } = emitRepresentation(graph, backboneOf(config.model), batchSize, probeSizes(config).crop);
  const classifier = inputParameters(graph);
  const logits = linearLayer(value, classifier, CLASSIFIER, classes, {
    weightInit: { kind: 'normal', std: 0.01 },
    biasInit: ZEROS,
  });
  const labels = graph.input('labels', 'int64', [batchSize]);
  const loss = crossEntropy(logits, labels);
  graph.output('probe_l', loss);
  graph.output('probe_top1', topAccuracy(logits, labels, 1));
  graph.output('probe_top5', topAccuracy(logits, labels, 5));
  const values = classifier.specs.map(({ name, shape, initialiser }) => classifier.get(name, shape, initialiser));
  const parameterGradients = gradients(loss, values).map((gradient, i) => ({ value: values[i]!, gradient }));
  emitUpdates(parameterGradients, optimizerOf(keys));
  return { graph, network, classifier };
}

/**
 * @param resumed the state of the checkpoint from which the run continues.
 * @throws CheckpointError if that lacks the classifier, DataError.
 */
export async function createLinearProbe(
  config: TrainConfig,
  keys: LinearKeys,
  source: ImageSource,
  session: SessionConfig,
  resumed?: ReadonlyMap<string, Tensor>,
): Promise<LinearProbe> {
  const backbone = backboneOf(config.model);
  const { crop } = probeSizes(config);
  const { batchSize, lr } = keys;
  const optimizer = optimizerOf(keys);
  const classes = source.labelled!.classes.length;
  const { graph, network, classifier } = linearProbeGraph(config, keys, classes, session.device ?? 'cpu');

  const specs = stateSpecs({ parameters: classifier.specs, buffers: [] }, { optimizer });
  const start = () => new Map<string, Tensor>(specs.map((spec) => [spec.name, initialise(spec, config.seed)]));
  let state = start();
  if (resumed !== undefined) {
    const problems = checkParameters(specs, resumed);
    if (problems.length > 0) {
      throw new CheckpointError(`the checkpoint does not fit the linear probe:\n  ${problems.join('\n  ')}`);
    }
    state = new Map(specs.map(({ name }) => [name, resumed.get(name)!]));
  }

  const running = await createSession(encodeModel(graph), session);
  const loader = createLoader({
    source,
    batchSize,
    seed: config.seed,
    views: [
      {
        size: crop,
        cells: mapCells(backbone, crop),
        scale: [0.08, 1],
        aspect: [3 / 4, 4 / 3],
        augmentation: { ...noAugmentation, flipProbability: 0.5 },
      },
    ],
  });
  return {
    state: () => state,
    async learn(update, weights) {
      const { views, labels: own, skipped } = await loader.batch(update);
      const scalars = Object.entries(optimizer.scalarValues(update, lr));
      const found = await runSession(
        running,
        new Map<string, Tensor>([
          ...networkFeeds(network, weights),
          ...state,
          ...scalars.map(([name, scalar]) => [name, tensor('float32', [], Float32Array.of(scalar))] as const),
          ['images', views[0]!],
          ['labels', own!],
        ]),
      );
      const [probe_l, probe_top1, probe_top5] = LOGS.map((name) => Number(found.get(name)!.data[0])) as [
        number,
        number,
        number,
      ];
      const next = new Map(specs.map(({ name }) => [name, found.get(stepNames.updated(name))!]));
      const finite = [...next.values()].every(({ data }) => (data as Float32Array).every(Number.isFinite));
      state = Number.isFinite(probe_l) && finite ? next : start();
      if (state !== next) return { skipped };
      return { terms: { probe_l, probe_top1, probe_top5 }, skipped };
    },
    async close() {
      await loader.close();
      await running.release();
    },
  };
}
