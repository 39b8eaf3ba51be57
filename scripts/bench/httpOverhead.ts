/**
 * What a small photograph costs over HTTP beside gRPC: one embedding at a time, in alternating rounds, with an engine that answers at
 * once, so that decoding and the transport remain. Service and callers are one process: the ratio counts, not the figures.
 *
 *   node dist/scripts/bench/httpOverhead.js [--rounds 10] [--calls 50]
 */
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { madePictures } from '../../src/bench/pictures.js';
import { median } from '../../src/bench/quantile.js';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { createClient } from '../../src/client/index.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { openModelFolder } from '../../src/models/folder.js';
import { createServer } from '../../src/serve/server.js';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '10' }, calls: { type: 'string', default: '50' } },
});
const [rounds, calls] = [Number(values.rounds), Number(values.calls)];

const { manifest } = await openModelFolder(bundledModelFolder);
const service = await createServer({
  models: [{ engine: createFakeEngine({ manifest }) }],
  address: '127.0.0.1:0',
  httpAddress: '127.0.0.1:0',
  metricsAddress: 'off',
  logger: pino({ level: 'silent' }),
});
const client = createClient({ address: service.address });
const [photo] = await madePictures(384, 256, 1);
const bytes = Uint8Array.from(photo!);
const url = `http://${service.httpAddress}/v1/embed`;

async function post(body: string | ArrayBuffer, type: string): Promise<void> {
  const response = await fetch(url, { method: 'POST', body, headers: { 'content-type': type } });
  if (!response.ok) throw new Error(await response.text());
  await response.json();
}

const sides: Readonly<Record<string, () => Promise<unknown>>> = {
  grpc: () => client.embed(bytes),
  'http, image body': () => post(bytes.buffer, 'image/jpeg'),
  'http, JSON': () =>
    post(JSON.stringify({ image: { encoded: Buffer.from(bytes).toString('base64') } }), 'application/json'),
};
const took = new Map(Object.keys(sides).map((name) => [name, [] as number[]]));
for (let round = 0; round <= rounds; round++) {
  for (const [name, call] of Object.entries(sides)) {
    for (let i = 0; i < calls; i++) {
      const start = performance.now();
      await call();
      // The first round warms up.
      if (round > 0) took.get(name)!.push(performance.now() - start);
    }
  }
}
const medianOf = (name: string): number => median(took.get(name)!);
for (const name of took.keys()) {
  console.log(
    `${name}: median ${medianOf(name).toFixed(2)} ms, ${(medianOf(name) / medianOf('grpc')).toFixed(2)} x gRPC`,
  );
}
await client.close();
await service.close();
