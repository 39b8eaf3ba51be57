import { Gauge, type Registry } from 'prom-client';
import type { ServeContext } from '../context.js';
import { measureEventLoopLag, registerEventLoopLag } from './eventLoopLag.js';

/** What is looked up at every scrape. */
export interface ServeState {
  /** Every model that is served now. */
  readonly models: () => readonly Pick<ServeContext, 'engine' | 'queue'>[];
  readonly isReady: () => boolean;
  /** When the certificate ends; undefined without TLS. */
  readonly certificateExpires: () => Date | undefined;
}

const labelsOf = ({ engine: { manifest } }: Pick<ServeContext, 'engine'>) => ({
  name: manifest.name,
  version: manifest.version,
});

function registerModels(registry: Registry, { models }: ServeState): void {
  const registers = [registry];
  const labelNames = ['name', 'version'];
  new Gauge({
    name: 'vicregl_queue_images',
    help: 'Images that wait for the engine, by model.',
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const model of models()) this.set(labelsOf(model), model.queue.depth);
    },
  });
  new Gauge({
    name: 'vicregl_model_info',
    help: 'The models that are served; always 1.',
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

/** Registers gauges of the server's state. @returns frees what measures */
export function registerState(registry: Registry, state: ServeState): () => void {
  registerModels(registry, state);
  new Gauge({
    name: 'vicregl_ready',
    help: '1 while requests are taken, as /readyz says, else 0.',
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
