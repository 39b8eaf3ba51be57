import { setTimeout as delay } from 'node:timers/promises';
import { nearestNeighbours } from '../match/nearest.js';
import type { Manifest } from '../models/manifest.js';
import { runInSlices } from '../tensor/slices.js';
import { type Tensor, zeros } from '../tensor/tensor.js';
import { checkRunInput, modelOutputs } from './checkRunInput.js';
import {
  type Engine,
  EngineError,
  type EngineOutputs,
  type EngineStatus,
  type ImageBatch,
  isStageOutput,
  type OutputName,
  type StageOutput,
  type WarmUp,
  type WorkerStatus,
} from './engine.js';

export interface FakeEngineOptions {
  /** Gives the dims, the stride and the graphs that decide which outputs exist. */
  readonly manifest: Manifest;
  /** The provider that it reports. Default `cpu`. */
  readonly provider?: 'cpu' | 'cuda';
  /** How long a run takes, in milliseconds. The event loop is free meanwhile. Default 0. */
  readonly delayMs?: number;
  /** Runs at the same time, as `idle` reports them; the engine also accepts more. Default 1. */
  readonly workers?: number;
  /** Awaited within each run, so that a test decides when it ends. */
  readonly hold?: () => Promise<void>;
  /** Called before each run; an error it returns is what that run rejects with. */
  readonly failWith?: (batch: ImageBatch, wants: ReadonlySet<OutputName>) => EngineError | undefined;
}

/** A fixed weight in -1..1 that mixes input channel `from` into output channel `to`. */
function weight(from: number, to: number): number {
  return Math.sin(12.9898 * (from + 1) + 78.233 * (to + 1));
}

/** [..., from] -> [..., to]: every row multiplied with the fixed weights. */
function project(rows: Float32Array, from: number, to: number, result: Float32Array): void {
  for (let row = 0; row * from < rows.length; row++) {
    for (let k = 0; k < to; k++) {
      let sum = 0;
      for (let c = 0; c < from; c++) sum += rows[row * from + c]! * weight(c, k);
      result[row * to + k] = sum;
    }
  }
}

/** [B, h, w, 3]: mean colour of every stride x stride cell, in 0..1; pixels beyond the last whole cell are left out. */
function cellColours(batch: ImageBatch, stride: number): Tensor<'float32'> {
  const [count, height, width] = batch.shape as [number, number, number];
  const rows = Math.floor(height / stride);
  const columns = Math.floor(width / stride);
  const colours = zeros('float32', [count, rows, columns, 3]);
  const share = 1 / (255 * stride * stride);
  for (let image = 0; image < count; image++) {
    for (let y = 0; y < rows * stride; y++) {
      for (let x = 0; x < columns * stride; x++) {
        const from = ((image * height + y) * width + x) * 3;
        const to = ((image * rows + Math.floor(y / stride)) * columns + Math.floor(x / stride)) * 3;
        for (let c = 0; c < 3; c++) colours.data[to + c]! += batch.data[from + c]! * share;
      }
    }
  }
  return colours;
}

/** [B, h, w, C] -> [B, C]: mean over the cells. */
function meanOverCells(maps: Tensor<'float32'>): Tensor<'float32'> {
  const [count, rows, columns, channels] = maps.shape as [number, number, number, number];
  const mean = zeros('float32', [count, channels]);
  const cells = rows * columns;
  for (let i = 0; i < maps.data.length; i++) {
    const image = Math.floor(i / (cells * channels));
    mean.data[image * channels + (i % channels)]! += maps.data[i]! / cells;
  }
  return mean;
}

function stageMap(manifest: Manifest, batch: ImageBatch, name: StageOutput): Tensor<'float32'> {
  const { stride, shape } = manifest.outputs[name]!;
  const channels = Number(shape.at(-1));
  const colours = cellColours(batch, stride!);
  const map = zeros('float32', [...colours.shape.slice(0, 3), channels]);
  project(colours.data, 3, channels, map.data);
  return map;
}

function compute(manifest: Manifest, batch: ImageBatch, wants: ReadonlySet<OutputName>): EngineOutputs {
  const { dims } = manifest;
  const colours = cellColours(batch, manifest.stride);
  const grid = colours.shape.slice(0, 3);
  const maps = zeros('float32', [...grid, dims.representation]);
  project(colours.data, 3, dims.representation, maps.data);
  const representation = meanOverCells(maps);
  const outputs: EngineOutputs = {};
  if (wants.has('maps')) outputs.maps = maps;
  if (wants.has('representation')) outputs.representation = representation;
  for (const name of wants) if (isStageOutput(name)) outputs[name] = stageMap(manifest, batch, name);
  if (wants.has('maps_embedding') && dims.mapsEmbedding !== undefined) {
    outputs.maps_embedding = zeros('float32', [...grid, dims.mapsEmbedding]);
    project(maps.data, dims.representation, dims.mapsEmbedding, outputs.maps_embedding.data);
  }
  if (wants.has('embedding') && dims.embedding !== undefined) {
    outputs.embedding = zeros('float32', [grid[0]!, dims.embedding]);
    project(representation.data, dims.representation, dims.embedding, outputs.embedding.data);
  }
  return outputs;
}

/** A fake engine whose workers exit and are replaced under control of a test. */
export interface FakeEngine extends Engine {
  /** Kills workers: current runs reject as `unavailable`, and later ones too where no worker is left. */
  kill(workers: number, reason: string): void;
  /** Replaces the killed workers, after their warm-up where there is one. */
  revive(): Promise<void>;
}

/**
 * An engine without a network, for tests of the layers above: each cell's mean colour, projected by fixed weights. Shapes and
 * errors are those of the real engine, the same pixels always give the same numbers, and equal cells match.
 */
export function createFakeEngine(options: FakeEngineOptions): FakeEngine {
  const { manifest, provider = 'cpu', delayMs = 0, workers = 1 } = options;
  const running = new Set<Promise<unknown>>();
  const listeners = new Set<() => void>();
  let closed = false;
  let dead = 0;
  let restarts = 0;
  let warmUp: WarmUp | undefined;
  let busyMs = 0;
  let reason: string | undefined;
  let deaths = new AbortController();

  const changed = (): void => {
    for (const listener of listeners) listener();
  };
  let terminated = false;
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const lost = (message: string): EngineError => new EngineError('unavailable', message, { publicMessage: message });
  const closedError = (): EngineError => lost('the engine is closed');
  const unavailable = (): EngineError => lost(reason ?? 'no worker is running');

  async function answer(batch: ImageBatch, wants: ReadonlySet<OutputName>): Promise<EngineOutputs> {
    checkRunInput(manifest, batch, wants);
    const failure = options.failWith?.(batch, wants);
    // Read before any wait: a death during a wait replaces it.
    const { signal } = deaths;
    await Promise.race([options.hold?.(), ended]);
    if (terminated) throw closedError();
    await delay(delayMs, undefined, { signal }).catch(() => {
      throw unavailable();
    });
    if (failure !== undefined) throw failure;
    return compute(manifest, batch, wants);
  }

  return {
    manifest,
    provider,
    outputs: modelOutputs(manifest),
    get status() {
      const busy = Math.min(running.size, workers - dead);
      const stateOf = (i: number): WorkerStatus['state'] => (i < dead ? 'failed' : i < dead + busy ? 'busy' : 'idle');
      const standing: EngineStatus['state'] = dead === 0 ? 'ready' : dead < workers ? 'degraded' : 'down';
      return {
        state: standing,
        ...(dead > 0 && reason !== undefined && { reason, publicReason: reason }),
        workers: Array.from({ length: workers }, (_, i) => ({
          state: stateOf(i),
          rssBytes: 0,
          busySeconds: i === 0 ? busyMs / 1000 : 0,
          restarts: { died: i === 0 ? restarts : 0, hung: 0, broken: 0 },
        })),
        restarts: { died: restarts, hung: 0, broken: 0 },
        startFailures: { model_changed: 0, other: 0 },
        busySeconds: busyMs / 1000,
      };
    },
    get idle() {
      return Math.max(0, workers - dead - running.size);
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async warm(up) {
      warmUp = up;
      await Promise.all(Array.from({ length: workers - dead }, () => up(answer)));
    },
    async run(batch, wants) {
      if (closed) throw closedError();
      if (dead === workers) throw unavailable();
      const since = performance.now();
      const run = answer(batch, wants);
      running.add(run);
      try {
        return await run;
      } finally {
        running.delete(run);
        busyMs += performance.now() - since;
        changed();
      }
    },
    async nearest(pair, signal) {
      if (closed) throw closedError();
      if (dead === workers) throw unavailable();
      return runInSlices(nearestNeighbours(pair), signal);
    },
    kill(count, why) {
      dead = Math.min(workers, dead + count);
      reason = why;
      deaths.abort();
      deaths = new AbortController();
      changed();
    },
    async revive() {
      const lost = dead;
      if (warmUp !== undefined) await Promise.all(Array.from({ length: lost }, () => warmUp!(answer)));
      restarts += lost;
      dead -= lost;
      changed();
    },
    async close() {
      closed = true;
      await Promise.allSettled(running);
    },
    terminate() {
      closed = true;
      terminated = true;
      reason = 'the engine is closed';
      end();
      deaths.abort();
    },
  };
}
