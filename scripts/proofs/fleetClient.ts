/**
 * A client under load for scripts/proofs/fleet.ts: calls Embed until SIGTERM, then prints its counts as JSON.
 *
 *   node dist/scripts/proofs/fleetClient.js dns:///vicregl:50051 4
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createClient, VicreglError } from '../../src/client/index.js';

const [address, callers] = process.argv.slice(2) as [string, string];
/** Pause of a caller between two calls in ms: the machine has more to run than this client. */
const PAUSE_MS = 10;
const image = { width: 56, height: 56, rgb: new Uint8Array(56 * 56 * 3).fill(7) };

// gRPC asks for the addresses at most twice a minute. Connections of some seconds need them sooner.
const client = createClient({ address, channelOptions: { 'grpc.dns_min_time_between_resolutions_ms': 1000 } });
const failures: Record<string, number> = {};
let answered = 0;
let over = false;
process.once('SIGTERM', () => {
  over = true;
});

async function call(): Promise<void> {
  while (!over) {
    try {
      await client.embed(image);
      answered++;
    } catch (error) {
      const { code, message } = VicreglError.from(error);
      const text = `${code}: ${message}`;
      failures[text] = (failures[text] ?? 0) + 1;
    }
    await delay(PAUSE_MS);
  }
}

await Promise.all(Array.from({ length: Number(callers) }, call));
await client.close();
console.log(JSON.stringify({ answered, failures }));
