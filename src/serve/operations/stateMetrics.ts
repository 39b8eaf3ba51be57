import { Counter, Gauge, type Registry } from 'prom-client';
import type { EngineStatus } from '../../engine/engine.js';
import type { FeatureStoreStats } from '../api/stored/featureStore.js';
import type { ServedModel } from '../inference/registry.js';
import { measureEventLoopLag, registerEventLoopLag } from './eventLoopLag.js';

/** The state that every scrape reads. */
export interface ServeState {
  /** Every model that is served now. */
  readonly models: () => readonly Pick<ServedModel, 'engine' | 'queue'>[];
  /** Of the processes that decode; undefined where images are decoded in this process. */
  readonly decoder: () => EngineStatus | undefined;
  /** Of the features kept by reference. */
  readonly storedFeatures: () => FeatureStoreStats;
  /** Bytes of the requests that are being answered, and of the answers that callers have not taken yet. */
  readonly held: () => { readonly requests: number; readonly answers: number; readonly maps: number };
  readonly isReady: () => boolean;
  /** When the certificate ends; undefined without TLS. */
  readonly certificateExpires: () => Date | undefined;
}

const labelsOf = ({ engine: { manifest } }: Pick<ServedModel, 'engine'>) => ({
  name: manifest.name,
  version: manifest.version,
});

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
 * The figures of worker processes, which reach this process with their answers: one registry has them all. A counter is set to
 * what the engine has counted; the engine of a model that was reloaded begins anew, as a restarted process does.
 */
function registerWorkers(registry: Registry, { models }: ServeState): void {
  const registers = [registry];
  const labelNames = ['name', 'version'];
  new Gauge({
    name: 'vicregl_workers',
    help: 'Worker processes by model and state (starting, idle, busy, failed).',
    labelNames: [...labelNames, 'state'],
    registers,
    collect() {
      this.reset();
      for (const model of models()) {
        for (const state of ['starting', 'idle', 'busy', 'failed'] as const) {
          const { workers } = model.engine.status;
          this.set({ ...labelsOf(model), state }, workers.filter((worker) => worker.state === state).length);
        }
      }
    },
  });
  new Gauge({
    name: 'vicregl_worker_resident_memory_bytes',
    help: 'Resident memory of each worker process, as of its last response.',
    labelNames: [...labelNames, 'worker'],
    registers,
    collect() {
      this.reset();
      for (const model of models()) {
        for (const [place, { rssBytes }] of model.engine.status.workers.entries()) {
          this.set({ ...labelsOf(model), worker: place }, rssBytes);
        }
      }
    },
  });
  new Counter({
    name: 'vicregl_worker_restarts_total',
    help:
      'Replaced workers by model and reason: died (crashed, or killed for memory), hung (killed because a run took longer ' +
      'than runSeconds), or broken (killed because a run failed, and then the check after it).',
    labelNames: [...labelNames, 'reason'],
    registers,
    collect() {
      this.reset();
      for (const model of models()) {
        for (const [reason, count] of Object.entries(model.engine.status.restarts)) {
          this.inc({ ...labelsOf(model), reason }, count);
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
    help: 'Seconds that workers have spent on requests, by model.',
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const model of models()) this.inc(labelsOf(model), model.engine.status.busySeconds);
    },
  });
}

/** The figures of decode processes; absent where images are decoded in this process. */
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

/** What the store of features by reference holds, and how it was used. */
function registerStoredFeatures(registry: Registry, { storedFeatures }: ServeState): void {
  const registers = [registry];
  for (const [name, help, read] of [
    ['vicregl_stored_features', 'Images whose features are kept by reference.', 'entries'],
    ['vicregl_stored_features_bytes', 'Bytes of the features kept by reference.', 'bytes'],
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
      'Features that were asked for by reference, or to be stored, and were kept.',
      'hits',
    ],
    [
      'vicregl_stored_features_misses_total',
      'Features that were asked for by reference, or to be stored, and were not kept, or no longer.',
      'misses',
    ],
    ['vicregl_stored_features_evictions_total', 'Features dropped before their time, for newer ones.', 'evictions'],
    ['vicregl_stored_features_expirations_total', 'Features dropped because nobody used them in time.', 'expirations'],
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

/** Registers gauges of the server's state. @returns frees what measures */
export function registerState(registry: Registry, state: ServeState): () => void {
  registerModels(registry, state);
  registerWorkers(registry, state);
  registerDecoder(registry, state);
  registerStoredFeatures(registry, state);
  for (const [name, help, read] of [
    [
      'vicregl_held_request_bytes',
      'Bytes of the requests that are being answered; requestBytes bounds it.',
      'requests',
    ],
    [
      'vicregl_held_response_bytes',
      'Bytes of answers that callers have not taken; responseBytes bounds it.',
      'answers',
    ],
    [
      'vicregl_held_map_bytes',
      'Bytes of maps held for poolings, PCAs and matches of sent features; mapBytes bounds it.',
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
      help: 'When the certificate of the gRPC listener ends, in seconds since 1970.',
      registers: [registry],
      collect() {
        this.set((state.certificateExpires()?.getTime() ?? 0) / 1000);
      },
    });
  }
  const lag = measureEventLoopLag();
  registerEventLoopLag(registry, lag);
  return lag.stop;
}
