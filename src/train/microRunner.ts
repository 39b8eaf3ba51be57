import { type Collectives, singleProcess } from '../distributed/collectives.js';
import type { Graph } from '../onnx/graph.js';
import { type SessionConfig, TRAINING_SESSION } from '../onnx/session.js';
import { createStagedSession } from '../onnx/stagedSession.js';
import { startState } from '../optim/state.js';
import { elementCount, rows, type Tensor, tensor, zeros } from '../tensor/tensor.js';
import { closeAfter, closeAll } from './closeAll.js';
import { hasOverflowed, withoutOverflow } from './lossScale.js';
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
import { runState } from './runState.js';
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

async function createPass(graph: Graph, config: SessionConfig, { allReduceSum }: Collectives): Promise<Pass> {
  const session = await createStagedSession(graph, { ...TRAINING_SESSION, ...config }, allReduceSum);
  return {
    graph,
    close: () => session.close(),
    run: (feeds, outputs) => session.run((name) => feeds.find((tensors) => tensors.has(name))!.get(name)!, outputs),
  };
}

/** Zeros in one memory, so that one operation reaches all of them. */
function zerosOf(values: readonly { readonly name: string; readonly shape: readonly number[] }[]): {
  readonly tensors: Tensors;
  readonly memory: Float32Array;
} {
  const memory = new Float32Array(values.reduce((sum, { shape }) => sum + elementCount(shape), 0));
  let offset = 0;
  const tensors = values.map(({ name, shape }): [string, Tensor] => {
    const start = offset;
    offset += elementCount(shape);
    return [name, tensor('float32', shape, memory.subarray(start, offset))];
  });
  return { tensors: new Map(tensors), memory };
}

function copyInto(target: Tensor, source: Tensor): void {
  (target.data as Float32Array).set(source.data as Float32Array);
}

/**
 * Runs the step over a batch of B photographs in forward passes of M (src/train/microGraphs.ts): every photograph goes
 * through the network twice, forward for the loss and once more for the gradient, with the same pixels and drop-path
 * scales. Running statistics are updated by the first pass, as by B / M steps of M photographs.
 *
 * With several ranks, each takes its part of the batch through the network: rank r the rows from r B / R on. The outputs of all are
 * gathered, so that every rank computes the loss of the whole batch, and carries the gradients of its own rows back (as the authors'
 * FullGatherLayer does). The parameters' gradients are summed over the ranks. Batch normalisation takes its statistics over all ranks;
 * without `syncBatchNorm` over each rank's part, and the running statistics are averaged.
 *
 * Weights, state and running statistics change only after every logged scalar, the gradients' norm among them, proved
 * finite.
 */
export async function createMicroRunner(given: MicroConfig, options: RunnerOptions): Promise<StepRunner> {
  const { collectives = singleProcess } = options;
  const { rank, size: ranks } = collectives;
  const config: MicroConfig = { ...given, ranks: { rank, size: ranks } };
  const { batchSize, microBatch, viewSizes, syncBatchNorm = true } = config;
  const { device = 'cpu' } = options.session;
  const { parameters, buffers } = networkSpecs(config);
  const state = startState(runState({ parameters, buffers }, config), options);
  /** Photographs of this rank, and the row of its first one in the batch. */
  const ownRows = batchSize / ranks;
  const firstRow = rank * ownRows;

  const passes: Pass[] = [];
  // Passes that run for every part keep their memory between runs, which saves a fifth of the step's time. Graphs that run
  // once a step release theirs for the others (scripts/bench/microBatch.ts).
  const pass = async (graph: Graph, arena = false): Promise<Pass> => {
    try {
      const made = await createPass(graph, { arena, ...options.session }, collectives);
      passes.push(made);
      return made;
    } catch (error) {
      // Such as a device without memory for it: what the others hold is released.
      return closeAfter(error, passes);
    }
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
  const { graph: normGraph, logs: normLogs } = buildGradientNorm(parameters, config);
  const norm = await pass(normGraph);
  const updates: Pass[] = [];
  for (const group of updateGroups(parameters)) updates.push(await pass(buildUpdate(group, config)));

  // Outputs of the views and the loss's gradients to them, of the whole batch, under the loss graph's names.
  const cache = zerosOf(cachedInputs(config, lossGraph)).tensors;
  const seeds = new Map(
    [...cache]
      .filter(([name]) => name !== microNames.representation)
      .map(([name, { shape }]) => [stepNames.gradient(name), zeros('float32', shape)]),
  );
  // The loss graph gives the whole gradient of the online classifier; the passes give parts of the network's, to be summed.
  const gradientSpecs = parameters.map(({ name, shape }) => ({ name: stepNames.gradient(name), shape }));
  const classifier = zerosOf(gradientSpecs.filter(({ name }) => lossGraph.outputs.has(name)));
  const network = zerosOf(gradientSpecs.filter(({ name }) => !lossGraph.outputs.has(name)));
  const gradients: Tensors = new Map([...network.tensors, ...classifier.tensors]);
  // A sum is written in place: one addition reads and writes it, element by element.
  const sums = new Map(
    parameters.map(({ name }) => [microNames.accumulated(name), gradients.get(stepNames.gradient(name))!]),
  );
  const running = [zerosOf(buffers), zerosOf(buffers)] as const;
  const scratch = updatedTensors(updates);

  /** Photographs start..start + M of a tensor. */
  const part = (value: Tensor, start: number): Tensor => rows(value, start, start + microBatch);

  /** @param run called with each view, and the first row of a part among this rank's. */
  const eachPart = async (run: (view: number, start: number) => Promise<void>): Promise<void> => {
    for (let start = 0; start < ownRows; start += microBatch) {
      for (const view of viewSizes.keys()) await run(view, start);
    }
  };

  const partInputs = (inputs: Tensors, view: number, start: number): Tensors =>
    new Map([
      // The batch has this rank's photographs alone; drop path is drawn for all.
      [microNames.pixels, part(inputs.get(stepNames.view(view))!, start)],
      ...(config.dropPath
        ? [[microNames.dropPath, part(inputs.get(stepNames.dropPath(view))!, firstRow + start)] as const]
        : []),
    ]);

  /** Fills the cache and returns the running statistics after it. */
  const embedAll = async (inputs: Tensors): Promise<Tensors> => {
    let before: Tensors = state;
    await eachPart(async (view, start) => {
      const after = running[before === running[0].tensors ? 1 : 0].tensors;
      const outputs = new Map([...after].map(([name, value]) => [stepNames.updated(name), value]));
      for (const output of viewOutputs(config)) {
        outputs.set(microNames.output(output), part(cache.get(microNames.cached(output, view))!, firstRow + start));
      }
      // Monitors and the online classifier look at view 0.
      if (view === 0) {
        outputs.set(microNames.representation, part(cache.get(microNames.representation)!, firstRow + start));
      }
      await embed.get(viewSizes[view]!)!.run([partInputs(inputs, view, start), before, state], outputs);
      before = after;
    });
    for (const { data } of cache.values()) await collectives.allGather(data as Float32Array);
    if (!syncBatchNorm) await averageOverRanks(running[before === running[0].tensors ? 0 : 1].memory, collectives);
    return before;
  };

  /** Carries the seeds back to the network's parameters. */
  const backwardAll = async (inputs: Tensors): Promise<void> => {
    network.memory.fill(0);
    await eachPart(async (view, start) => {
      const own = new Map(
        viewOutputs(config).map((output) => [
          microNames.seed(output),
          part(seeds.get(stepNames.gradient(microNames.cached(output, view)))!, firstRow + start),
        ]),
      );
      await backward.get(viewSizes[view]!)!.run([partInputs(inputs, view, start), own, sums, state], network.tensors);
    });
    await collectives.allReduceSum(network.memory);
    // Equal on all ranks but for their processors' rounding, by which the weights must not come apart.
    if (classifier.memory.length > 0) await collectives.broadcast(classifier.memory);
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

  // All start from the same bits, wherever each had them from.
  for (const { data } of state.values()) await collectives.broadcast(data as Float32Array);

  return {
    stepsPerRun: 1,
    state: () => state,
    async close() {
      await closeAll(passes);
    },
    async run([step]) {
      const inputs = await gathered(stepFeeds(config, options, step!), config, collectives);
      const { tensors: terms, memory } = zerosOf(
        [...logs, ...normGraph.outputs.keys()].map((name) => ({ name, shape: [] })),
      );
      const named = (names: Iterable<string>) => new Map([...names].map((name) => [name, terms.get(name)!]));
      const values = (names: readonly string[]) => [
        withoutOverflow(Object.fromEntries([...named(names)].map(([name, { data }]) => [name, Number(data[0])]))),
      ];
      const statistics = await embedAll(inputs);
      await loss.run([cache, inputs, state], new Map([...named(logs), ...seeds, ...classifier.tensors]));
      // All ranks must find the same: that the step can be taken, or not.
      await collectives.broadcast(memory);
      if (!allFinite(values(logs))) return values(logs);
      await backwardAll(inputs);
      await norm.run([gradients, state], named(normGraph.outputs.keys()));
      await collectives.broadcast(memory);
      const all = values([...logs, ...normLogs]);
      if (!allFinite(all)) return all;
      if (!all.some(hasOverflowed)) await updateAll(inputs, terms);
      for (const [name, value] of state) {
        const next = terms.get(stepNames.updated(name));
        if (next !== undefined) copyInto(value, next);
      }
      for (const { name } of buffers) copyInto(state.get(name)!, statistics.get(name)!);
      return all;
    },
  };
}

/** Running statistics that each rank has updated by its own photographs: their means, equal on all ranks. */
async function averageOverRanks(values: Float32Array, { size, allReduceSum }: Collectives): Promise<void> {
  if (size === 1 || values.length === 0) return;
  await allReduceSum(values);
  for (let i = 0; i < values.length; i++) values[i]! /= size;
}

/** The inputs of a step, with the locations and labels of all ranks' photographs: the loss reads those of the whole batch. */
async function gathered(
  own: Tensors,
  { batchSize, viewSizes }: MicroConfig,
  collectives: Collectives,
): Promise<Tensors> {
  if (collectives.size === 1) return own;
  const inputs = new Map(own);
  for (const name of [...viewSizes.keys()].map((view) => stepNames.locations(view)).concat(stepNames.labels)) {
    const value = own.get(name);
    if (value === undefined) continue;
    const [rowCount, ...rest] = value.shape;
    const Elements = value.data.constructor as new (length: number) => Float32Array | BigInt64Array;
    const all = new Elements(value.data.length * collectives.size);
    all.set(value.data as never, value.data.length * collectives.rank);
    await collectives.allGather(all);
    inputs.set(name, { ...value, shape: [rowCount! * collectives.size, ...rest], data: all } as Tensor);
    if (rowCount! * collectives.size !== batchSize)
      throw new RangeError(`${name} has ${rowCount} rows of ${batchSize}`);
  }
  return inputs;
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
