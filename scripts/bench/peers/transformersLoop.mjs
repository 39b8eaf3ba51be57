/**
 * Runs the same network with @huggingface/transformers in a loop, from JPEG bytes to the pooled vector. The library uses its
 * own image decoder, its own image processor and its own ONNX Runtime.
 *
 *   npm ci --prefix scripts/bench/peers
 *   node scripts/bench/peers/transformersLoop.mjs MODELS NAME IMAGES.json
 *
 * It prints lines of JSON: first {"ready": version, "vector": [...]}. Then, for each line {"seconds": S, "batch": B} on stdin,
 * it prints the rate and the latencies of all calls.
 */
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { AutoModel, AutoProcessor, env, RawImage } from '@huggingface/transformers';

const [models, name, imagesFile] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = models;
const files = JSON.parse(await readFile(imagesFile, 'utf8')).map((text) => Buffer.from(text, 'base64'));
const processor = await AutoProcessor.from_pretrained(name);
const model = await AutoModel.from_pretrained(name, { dtype: 'fp32', device: 'cpu' });

async function embed(batch) {
  const images = await Promise.all(batch.map((file) => RawImage.fromBlob(new Blob([file]))));
  const { last_hidden_state: maps } = await model(await processor(images));
  const [count, channels, rows, columns] = maps.dims;
  const cells = rows * columns;
  return Array.from({ length: count }, (_, image) =>
    Float32Array.from({ length: channels }, (_, channel) => {
      const start = (image * channels + channel) * cells;
      let sum = 0;
      for (let i = start; i < start + cells; i++) sum += maps.data[i];
      return sum / cells;
    }),
  );
}

const [vector] = await embed([files[0]]);
console.log(JSON.stringify({ ready: env.version, vector: [...vector] }));

let next = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const { seconds, batch } = JSON.parse(line);
  const latencies = [];
  let images = 0;
  const start = performance.now();
  while (performance.now() < start + seconds * 1e3) {
    const begin = performance.now();
    await embed(Array.from({ length: batch }, () => files[next++ % files.length]));
    latencies.push(performance.now() - begin);
    images += batch;
  }
  console.log(JSON.stringify({ imagesPerSecond: images / ((performance.now() - start) / 1e3), latencies }));
}
