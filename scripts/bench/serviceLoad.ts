/**
 * Load generator of service.ts, in a process of its own: a closed loop of clients, each sending its next request when
 * the last one is answered. Takes a LoadRequest as its only message, answers with a LoadResult and ends.
 */

import { createClient } from '../../src/client/index.js';

export type LoadMethod = 'Embed' | 'ExtractFeatures';

export interface LoadRequest {
  readonly address: string;
  readonly method: LoadMethod;
  /** Requests under way at any time. */
  readonly concurrency: number;
  /** Length of the measurement; what is under way then is waited for and counted. */
  readonly seconds: number;
  /** JPEG files in base64, sent in turn. */
  readonly images: readonly string[];
}

export interface LoadResult {
  readonly imagesPerSecond: number;
  /** Milliseconds from call to answer, of every request. */
  readonly latencies: readonly number[];
}

async function measure({ address, method, concurrency, seconds, images }: LoadRequest): Promise<LoadResult> {
  const client = createClient({ address });
  await client.waitForReady();
  const files = images.map((text) => Buffer.from(text, 'base64'));
  let next = 0;
  const request = async (): Promise<void> => {
    const image = files[next++ % files.length]!;
    await (method === 'Embed' ? client.embed(image) : client.features(image));
  };
  // Connections, code and memory are warm before the clock starts.
  await Promise.all(Array.from({ length: concurrency }, request));

  const latencies: number[] = [];
  const start = performance.now();
  const end = start + seconds * 1e3;
  const loop = async (): Promise<void> => {
    while (performance.now() < end) {
      const sent = performance.now();
      await request();
      latencies.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  const imagesPerSecond = latencies.length / ((performance.now() - start) / 1e3);
  await client.close();
  return { imagesPerSecond, latencies };
}

process.once('message', (request: LoadRequest) => {
  measure(request).then(
    (result) => process.send?.(result, () => process.disconnect()),
    (error: unknown) => {
      console.error(error);
      process.exitCode = 1;
      process.disconnect();
    },
  );
});
