import { Counter, Gauge, type Registry } from 'prom-client';
import type { EngineStatus, WorkerStatus } from '../../engine/engine.js';
import type { FeatureStoreStats } from '../api/stored/featureStore.js';
import type { ServedModel } from '../inference/registry.js';
import type { SpanCounts } from '../tracing/tracing.js';
import { measureEventLoopLag, registerEventLoopLag } from './eventLoopLag.js';
import type { ModelDirStatus } from './modelDir/modelDir.js';

/** The state that each scrape reads. */
export interface ServeState {
  /** The models that are currently served. */
  readonly models: () => readonly Pick<ServedModel, 'engine' | 'queue'>[];
  /** Status of the decode processes; undefined if images are decoded in this process. */
  readonly decoder: () => EngineStatus | undefined;
  /** Statistics of the stored features. */
  readonly storedFeatures: () => FeatureStoreStats;
  /** Bytes of the requests in progress, of the responses that callers have not received yet, and of maps. */
  readonly held: () => { readonly requests: number; readonly answers: number; readonly maps: number };
  /** State of the models directory; undefined without one. */
  readonly modelDir: () => ModelDirStatus | undefined;
  readonly isReady: () => boolean;
  /** When the certificate expires; undefined without TLS. */
  readonly certificateExpires: () => Date | undefined;
  /** Counts of the spans of calls; undefined if calls are not traced. */
  readonly spans: () => SpanCounts | undefined;
}

function registerSpans(registry: Registry, { spans }: ServeState): void {
  new Counter({
    name: 'vicregl_trace_spans_exported_total',
    help: 'Spans that the collector of traces accepted.',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(spans()?.exported ?? 0);
    },
  });
  new Counter({
    name: 'vicregl_trace_spans_dropped_total',
    help:
      'Spans that were lost, by reason. queue_full: they ended faster than they were exported (OTEL_BSP_MAX_QUEUE_SIZE); ' +
      'export_failed: the collector of traces did not accept them.',
    labelNames: ['reason'],
    registers: [registry],
    collect() {
      this.reset();
      this.inc({ reason: 'queue_full' }, spans()?.queueFull ?? 0);
      this.inc({ reason: 'export_failed' }, spans()?.exportFailed ?? 0);
    },
  });
}

const labelsOf = ({ engine: { manifest } }: Pick<ServedModel, 'engine'>) => ({
  name: manifest.name,
  version: manifest.version,
});

/** The device of a worker, such as cuda:1. */
const deviceOf = ({ engine }: Pick<ServedModel, 'engine'>, { device }: WorkerStatus): string =>
  device ?? engine.provider;

function registerModels(registry: Registry, { models }: ServeState): void {
  const registers = [registry];
  const labelNames = ['name', 'version'];
  new Gauge({
    name: 'vicregl_queue_images',
    help: 'Images that wait for an idle worker, by model.',
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const model of models()) this.set(labelsOf(model), model.queue.depth);
    },
  });
  new Gauge({
    name: 'vicregl_queue_awaited_places',
    help: 'Stream items that wait for a place in the queue, by model.',
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const model of models()) this.set(labelsOf(model), model.queue.blocked);
    },
  });
  new Gauge({
    name: 'vicregl_model_info',
    help: 'The served models; the value is always 1.',
    labelNames: [...labelNames, 'architecture', 'precision', 'provider'],
    registers,
    collect() {
      this.reset();
      for (const model of models()) {
        const { provider, manifest } = model.engine;
        const { architecture, precision } = manifest;
        this.set({ ...labelsOf(model), architecture, precision, provider }, 1);
      }
    },
  });
}

/**
 * Metrics of worker processes, whose figures reach this process with their responses. A counter is set to the engine's own count;
 * the engine of a reloaded model starts at 0, as after a restart of the process.
 */
function registerWorkers(registry: Registry, { models }: ServeState): void {
  const registers = [registry];
  const labelNames = ['name', 'version'];
  new Gauge({
    name: 'vicregl_workers',
    help: 'Worker processes by model, device (cpu, or cuda with its number) and state (starting, idle, busy, failed).',
    labelNames: [...labelNames, 'device', 'state'],
    registers,
    collect() {
      this.reset();
      for (const model of models()) {
        const { workers } = model.engine.status;
        for (const device of new Set(workers.map((worker) => deviceOf(model, worker)))) {
          const here = workers.filter((worker) => deviceOf(model, worker) === device);
          for (const state of ['starting', 'idle', 'busy', 'failed'] as const) {
            this.set({ ...labelsOf(model), device, state }, here.filter((worker) => worker.state === state).length);
          }
        }
      }
    },
  });
  new Gauge({
    name: 'vicregl_worker_resident_memory_bytes',
    help: 'Resident memory of each worker process, as of its last response.',
    labelNames: [...labelNames, 'device', 'worker'],
    registers,
    collect() {
      this.reset();
      for (const model of models()) {
        for (const [place, worker] of model.engine.status.workers.entries()) {
          this.set({ ...labelsOf(model), device: deviceOf(model, worker), worker: place }, worker.rssBytes);
        }
      }
    },
  });
  new Counter({
    name: 'vicregl_worker_restarts_total',
    help:
      'Replaced workers by model, device and reason: died (crashed, or killed for memory), hung (killed because a run took longer ' +
      'than runSeconds), or broken (killed because a run failed, and then the check after it).',
    labelNames: [...labelNames, 'device', 'reason'],
    registers,
    collect() {
      this.reset();
      for (const model of models()) {
        for (const worker of model.engine.status.workers) {
          for (const [reason, count] of Object.entries(worker.restarts)) {
            this.inc({ ...labelsOf(model), device: deviceOf(model, worker), reason }, count);
          }
        }
      }
    },
  });
  new Counter({
    name: 'vicregl_worker_start_failures_total',
    help:
      'Replacement workers that could not be started, by model and reason: model_changed (a file of the model folder has ' +
      'changed since it was verified; restore it, or reload the model), or other.',
    labelNames: [...labelNames, 'reason'],
    registers,
    collect() {
      this.reset();
      for (const model of models()) {
        for (const [reason, count] of Object.entries(model.engine.status.startFailures)) {
          this.inc({ ...labelsOf(model), reason }, count);
        }
      }
    },
  });
  new Counter({
    name: 'vicregl_worker_busy_seconds_total',
    help: 'Seconds that workers have been busy with requests, by model and device.',
    labelNames: [...labelNames, 'device'],
    registers,
    collect() {
      this.reset();
      for (const model of models()) {
        for (const worker of model.engine.status.workers) {
          this.inc({ ...labelsOf(model), device: deviceOf(model, worker) }, worker.busySeconds);
        }
      }
    },
  });
}

/** Metrics of decode processes; absent if images are decoded in this process. */
function registerDecoder(registry: Registry, { decoder }: ServeState): void {
  if (decoder() === undefined) return;
  const registers = [registry];
  new Gauge({
    name: 'vicregl_decode_processes',
    help: 'Processes that decode images and masks, by state (starting, idle, busy, failed).',
    labelNames: ['state'],
    registers,
    collect() {
      this.reset();
      for (const state of ['starting', 'idle', 'busy', 'failed'] as const) {
        this.set({ state }, decoder()?.workers.filter((worker) => worker.state === state).length ?? 0);
      }
    },
  });
  new Gauge({
    name: 'vicregl_decode_process_resident_memory_bytes',
    help: 'Resident memory of each decode process, as of its last response.',
    labelNames: ['process'],
    registers,
    collect() {
      this.reset();
      for (const [place, { rssBytes }] of decoder()?.workers.entries() ?? []) this.set({ process: place }, rssBytes);
    },
  });
  new Counter({
    name: 'vicregl_decode_process_restarts_total',
    help:
      'Replaced decode processes by reason: died (crashed, or killed for memory), or hung (killed because an image took ' +
      'longer than decodeSeconds, or was still being decoded a second after its call had ended).',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset();
      for (const reason of ['died', 'hung'] as const) this.inc({ reason }, decoder()?.restarts[reason] ?? 0);
    },
  });
}

/** Metrics of the stored features. */
function registerStoredFeatures(registry: Registry, { storedFeatures }: ServeState): void {
  const registers = [registry];
  for (const [name, help, read] of [
    ['vicregl_stored_features', 'Images with stored features.', 'entries'],
    ['vicregl_stored_features_bytes', 'Bytes of the stored features.', 'bytes'],
  ] as const) {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(storedFeatures()[read]);
      },
    });
  }
  for (const [name, help, read] of [
    [
      'vicregl_stored_features_hits_total',
      'Lookups of stored features, by reference or to store an image, that found them.',
      'hits',
    ],
    [
      'vicregl_stored_features_misses_total',
      'Lookups of stored features, by reference or to store an image, that did not find them.',
      'misses',
    ],
    [
      'vicregl_stored_features_evictions_total',
      'Stored features evicted for newer ones before they expired.',
      'evictions',
    ],
    [
      'vicregl_stored_features_expirations_total',
      'Stored features removed because they were not used in time.',
      'expirations',
    ],
  ] as const) {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(storedFeatures()[read]);
      },
    });
  }
}

/** Metrics of the models directory; absent without one. */
function registerModelDir(registry: Registry, { modelDir }: ServeState): void {
  if (modelDir() === undefined) return;
  const registers = [registry];
  new Gauge({
    name: 'vicregl_model_dir_readable',
    help: '1 if the models directory could be read at the last look and holds models, else 0; loaded models stay.',
    registers,
    collect() {
      this.set(modelDir()?.readable ? 1 : 0);
    },
  });
  new Gauge({
    name: 'vicregl_model_dir_refused',
    help: '1 for each version in the models directory that cannot be served (damaged, or its warm-up failed); the log has the reason.',
    labelNames: ['name', 'version'],
    registers,
    collect() {
      this.reset();
      for (const { name, version } of modelDir()?.refused ?? []) this.set({ name, version }, 1);
    },
  });
  new Counter({
    name: 'vicregl_model_dir_refusals_total',
    help: 'Versions in the models directory that were refused, each once until its files change.',
    registers,
    collect() {
      this.reset();
      this.inc(modelDir()?.refusals ?? 0);
    },
  });
}

/** Registers gauges of the server's state. @returns stops the measurements */
export function registerState(registry: Registry, state: ServeState): () => void {
  registerModels(registry, state);
  registerWorkers(registry, state);
  registerDecoder(registry, state);
  registerStoredFeatures(registry, state);
  registerModelDir(registry, state);
  for (const [name, help, read] of [
    ['vicregl_held_request_bytes', 'Bytes of the requests in progress; requestBytes limits them.', 'requests'],
    [
      'vicregl_held_response_bytes',
      'Bytes of responses that callers have not received yet; responseBytes limits them.',
      'answers',
    ],
    [
      'vicregl_held_map_bytes',
      'Bytes of maps held for poolings, PCAs and matches of sent features; mapBytes limits them.',
      'maps',
    ],
  ] as const) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(state.held()[read]);
      },
    });
  }
  new Gauge({
    name: 'vicregl_ready',
    help: '1 while the service is ready (/readyz), else 0.',
    registers: [registry],
    collect() {
      this.set(state.isReady() ? 1 : 0);
    },
  });
  if (state.certificateExpires() !== undefined) {
    new Gauge({
      name: 'vicregl_certificate_expiry_timestamp_seconds',
      help: 'When the certificate of the gRPC listener expires, in seconds since 1970.',
      registers: [registry],
      collect() {
        this.set((state.certificateExpires()?.getTime() ?? 0) / 1000);
      },
    });
  }
  if (state.spans() !== undefined) registerSpans(registry, state);
  const lag = measureEventLoopLag();
  registerEventLoopLag(registry, lag);
  return lag.stop;
}
