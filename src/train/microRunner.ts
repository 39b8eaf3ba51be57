import { encodeModel } from '../onnx/encode.js';
import type { Graph } from '../onnx/graph.js';
import { createSession, type SessionConfig, TRAINING_SESSION, toOrt } from '../onnx/session.js';
import { startState, stateSpecs } from '../optim/state.js';
import { elementCount, rows, type Tensor, tensor, zeros } from '../tensor/tensor.js';
import { GRADIENT_NORM } from './clip.js';
import {
  buildBackward,
  buildEmbed,
  buildLoss,
  cachedInputs,
  type MicroConfig,
  microNames,
  viewOutputs,
} from './microGraphs.js';
import { networkSpecs } from './networkSpecs.js';
import { stepNames } from './stepConfig.js';
import { stepFeeds } from './stepFeeds.js';
import { allFinite, type RunnerOptions, type StepRunner } from './stepRunner.js';
import { buildGradientNorm, buildUpdate, updateGroups } from './updateGraphs.js';

/** Tensors by the names under which graphs know them. */
type Tensors = ReadonlyMap<string, Tensor>;

/** One of the graphs that make a step. */
interface Pass {
  readonly graph: Graph;
  /** Takes the graph's inputs from the first of the given tensors that has each, and writes the named outputs. */
  run(feeds: readonly Tensors[], outputs: Tensors): Promise<void>;
  close(): Promise<void>;
}

async function createPass(graph: Graph, config: SessionConfig): Promise<Pass> {
  const session = await createSession(encodeModel(graph), { ...TRAINING_SESSION, ...config });
  return {
    graph,
    close: () => session.release(),
    async run(feeds, outputs) {
      const find = (name: string) => toOrt(feeds.find((tensors) => tensors.has(name))!.get(name)!);
      await session.run(
        Object.fromEntries(graph.inputs.map(({ name }) => [name, find(name)])),
        Object.fromEntries([...outputs].map(([name, value]) => [name, toOrt(value)])),
      );
    },
  };
}

function zerosOf(values: readonly { readonly name: string; readonly shape: readonly number[] }[]): Tensors {
  return new Map(values.map(({ name, shape }) => [name, zeros('float32', shape)]));
}

function fill(target: Tensor, value: number): void {
  (target.data as Float32Array).fill(value);
}

function copyInto(target: Tensor, source: Tensor): void {
  (target.data as Float32Array).set(source.data as Float32Array);
}

/**
 * Runs the step over a batch of B photographs in forward passes of M (src/train/microGraphs.ts): every photograph goes
 * through the network twice, forward for the loss and once more for the gradient, with the same pixels and drop-path
 * scales. Running statistics are updated by the first pass, as by B / M steps of M photographs.
 *
 * Weights, state and running statistics change only after every logged scalar, the gradients' norm among them, proved
 * finite.
 */
export async function createMicroRunner(config: MicroConfig, options: RunnerOptions): Promise<StepRunner> {
  const { batchSize, microBatch, viewSizes } = config;
  const { device = 'cpu' } = options.session;
  const { parameters, buffers } = networkSpecs(config);
  const state = startState(stateSpecs({ parameters, buffers }, config), options);

  const passes: Pass[] = [];
  // Passes that run for every part keep their memory between runs, which saves a fifth of the step's time. Graphs that run
  // once a step release theirs for the others (scripts/bench/microBatch.ts).
  const pass = async (graph: Graph, arena = false): Promise<Pass> => {
    const made = await createPass(graph, { arena, ...options.session });
    passes.push(made);
    return made;
  };
  // Views of one size share their graphs.
  const embed = new Map<number, Pass>();
  const backward = new Map<number, Pass>();
  for (const size of new Set(viewSizes)) {
    embed.set(size, await pass(buildEmbed(config, size, device), true));
    backward.set(size, await pass(buildBackward(config, size, device), true));
  }
  const { graph: lossGraph, logs } = buildLoss(config, device);
  const loss = await pass(lossGraph);
  const norm = await pass(buildGradientNorm(parameters));
  const updates: Pass[] = [];
  for (const group of updateGroups(parameters)) updates.push(await pass(buildUpdate(group, config)));

  // Outputs of the views and the loss's gradients to them, of the whole batch, under the loss graph's names.
  const cache = zerosOf(cachedInputs(config, lossGraph));
  const seeds = new Map(
    [...cache]
      .filter(([name]) => name !== microNames.representation)
      .map(([name, { shape }]) => [stepNames.gradient(name), zeros('float32', shape)]),
  );
  const gradients = zerosOf(parameters.map(({ name, shape }) => ({ name: stepNames.gradient(name), shape })));
  // The loss graph gives the whole gradient of the online classifier; the passes give parts of the network's, to be summed.
  const classifier = new Map([...gradients].filter(([name]) => lossGraph.outputs.has(name)));
  const network = new Map([...gradients].filter(([name]) => !classifier.has(name)));
  // A sum is written in place: one addition reads and writes it, element by element.
  const sums = new Map(
    parameters.map(({ name }) => [microNames.accumulated(name), gradients.get(stepNames.gradient(name))!]),
  );
  const running = [zerosOf(buffers), zerosOf(buffers)] as const;
  const scratch = updatedTensors(updates);

  /** Photographs start..start + M of a tensor of the whole batch. */
  const part = (value: Tensor, start: number): Tensor => rows(value, start, start + microBatch);

  const eachPart = async (run: (view: number, start: number) => Promise<void>): Promise<void> => {
    for (let start = 0; start < batchSize; start += microBatch) {
      for (const view of viewSizes.keys()) await run(view, start);
    }
  };

  const partInputs = (inputs: Tensors, view: number, start: number): Tensors =>
    new Map([
      [microNames.pixels, part(inputs.get(stepNames.view(view))!, start)],
      ...(config.dropPath ? [[microNames.dropPath, part(inputs.get(stepNames.dropPath(view))!, start)] as const] : []),
    ]);

  /** Fills the cache and returns the running statistics after it. */
  const embedAll = async (inputs: Tensors): Promise<Tensors> => {
    let before: Tensors = state;
    await eachPart(async (view, start) => {
      const after = running[before === running[0] ? 1 : 0];
      const outputs = new Map([...after].map(([name, value]) => [stepNames.updated(name), value]));
      for (const output of viewOutputs(config)) {
        outputs.set(microNames.output(output), part(cache.get(microNames.cached(output, view))!, start));
      }
      // Monitors and the online classifier look at view 0.
      if (view === 0) outputs.set(microNames.representation, part(cache.get(microNames.representation)!, start));
      await embed.get(viewSizes[view]!)!.run([partInputs(inputs, view, start), before, state], outputs);
      before = after;
    });
    return before;
  };

  /** Carries the seeds back to the network's parameters. */
  const backwardAll = async (inputs: Tensors): Promise<void> => {
    for (const sum of network.values()) fill(sum, 0);
    await eachPart(async (view, start) => {
      const own = new Map(
        viewOutputs(config).map((output) => [
          microNames.seed(output),
          part(seeds.get(stepNames.gradient(microNames.cached(output, view)))!, start),
        ]),
      );
      await backward.get(viewSizes[view]!)!.run([partInputs(inputs, view, start), own, sums, state], network);
    });
  };

  const updateAll = async (inputs: Tensors, terms: Tensors): Promise<void> => {
    for (const [i, update] of updates.entries()) {
      await update.run([gradients, terms, inputs, state], scratch[i]!);
      for (const [name, value] of state) {
        const next = scratch[i]!.get(stepNames.updated(name));
        if (next !== undefined) copyInto(value, next);
      }
    }
  };

  return {
    stepsPerRun: 1,
    state: () => state,
    async close() {
      for (const { close } of passes) await close();
    },
    async run([step]) {
      const inputs = stepFeeds(config, options, step!);
      const terms = zerosOf([...logs, GRADIENT_NORM].map((name) => ({ name, shape: [] })));
      const values = (names: readonly string[]) => [
        Object.fromEntries(names.map((name) => [name, Number(terms.get(name)!.data[0])])),
      ];
      const statistics = await embedAll(inputs);
      const lossTerms = new Map([...terms].filter(([name]) => name !== GRADIENT_NORM));
      await loss.run([cache, inputs, state], new Map([...lossTerms, ...seeds, ...classifier]));
      if (!allFinite(values(logs))) return values(logs);
      await backwardAll(inputs);
      await norm.run([gradients, state], new Map([[GRADIENT_NORM, terms.get(GRADIENT_NORM)!]]));
      const all = values([...terms.keys()]);
      if (!allFinite(all)) return all;
      await updateAll(inputs, terms);
      for (const { name } of buffers) copyInto(state.get(name)!, statistics.get(name)!);
      return all;
    },
  };
}

/** The outputs of every update, all in one memory: they are copied to the state before the next group runs. */
function updatedTensors(updates: readonly Pass[]): Tensors[] {
  const shapes = updates.map(({ graph }) =>
    [...graph.outputs].map(([name, { shape }]) => ({ name, shape: shape as readonly number[] })),
  );
  const maxElements = Math.max(
    ...shapes.map((group) => group.reduce((sum, { shape }) => sum + elementCount(shape), 0)),
  );
  const memory = new Float32Array(maxElements);
  return shapes.map((group) => {
    let offset = 0;
    return new Map(
      group.map(({ name, shape }) => {
        const start = offset;
        offset += elementCount(shape);
        return [name, tensor('float32', shape, memory.subarray(start, offset))];
      }),
    );
  });
}
