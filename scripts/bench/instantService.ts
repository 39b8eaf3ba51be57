/**
 * Runs the service with an engine that immediately answers with zeros, for serviceOverhead.ts and tracingOverhead.ts. It logs as `vicregl serve`
 * does. At the end it prints the delay of the event loop.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { pino } from 'pino';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import type { Engine, EngineOutputs, ImageBatch, OutputName } from '../../src/engine/engine.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { openModelFolder } from '../../src/models/folder.js';
import { createServer } from '../../src/serve/server.js';
import { openTracing } from '../../src/serve/tracing/openTracing.js';
import { zeros } from '../../src/tensor/tensor.js';

const { manifest } = await openModelFolder(bundledModelFolder);
const engine = Object.assign(Object.create(createFakeEngine({ manifest })) as Engine, {
  // The fake engine of the tests computes colours, which takes longer than the whole service.
  async run(batch: ImageBatch, wants: ReadonlySet<OutputName>): Promise<EngineOutputs> {
    const [count, height, width] = batch.shape as [number, number, number, number];
    const cells = [count, height / manifest.stride, width / manifest.stride];
    return {
      ...(wants.has('representation') && { representation: zeros('float32', [count, manifest.dims.representation]) }),
      ...(wants.has('maps') && { maps: zeros('float32', [...cells, manifest.dims.representation]) }),
    };
  },
});
const logger = pino({ level: 'info' });
const server = await createServer({
  models: [{ engine }],
  logger,
  // Off without the variables of OpenTelemetry, which tracingOverhead.ts sets.
  tracing: await openTracing(process.env, logger, '0'),
  address: '127.0.0.1:0',
  metricsAddress: '127.0.0.1:0',
});
const { address, metricsAddress } = server;
const delay = monitorEventLoopDelay({ resolution: 10 });
delay.enable();
logger.info({ address, metricsAddress, provider: 'cpu' }, 'serving');
process.once('SIGTERM', () => {
  const ms = (value: number) => Math.max(0, value / 1e6 - 10).toFixed(2);
  console.error(
    `delay of the event loop minus the sampling interval: p50 ${ms(delay.percentile(50))}, p99 ${ms(delay.percentile(99))} ms`,
  );
  void server.close();
});
