// A segmentation backend: dense maps from the service, with its own linear head.
//
//   node examples/segmentation.mjs [HOST:PORT of the service] [port to listen on; 0 selects a free one]
//   curl --data-binary @photo.jpg http://127.0.0.1:8080/segment > mask.png     # one grey level per class
//
// The head is trained at the start, on strips of three photographs; every cell has the label of its photograph. This set is tiny,
// but sufficient as an example. With your own labels, `train` is the same. The network's weights do not change.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import sharp from 'sharp';
import { createClient, VicreglError } from 'vicregl';

const MAX_BYTES = 32 * 1024 * 1024;
const CLASSES = [
  { name: 'astronaut', file: 'astronaut.jpg' },
  { name: 'cat', file: 'chelsea.png' },
  { name: 'coffee', file: 'coffee.jpg' },
];
/** The grey level of a class in the mask. */
const level = (label) => Math.round((255 * label) / (CLASSES.length - 1));

const client = createClient({ address: process.argv[2] ?? '127.0.0.1:50051' });

/** The vectors of an image's cells and the grid; the image is resized to `width` x `height`. */
async function cellVectors(pixels, { width, height, crop, signal }) {
  const image = { pixels, resize: { kind: 'fit', width, height }, ...(crop && { crop }) };
  return client.features(image, { dtype: 'float16', ...(signal && { signal }) });
}

/** Strips of a quarter of the width: the first and the third are for training, the others for a test. */
async function trainingStrips(file) {
  const pixels = await readFile(new URL(`../test/fixtures/photos/${file}`, import.meta.url));
  const { width, height } = await sharp(pixels).metadata();
  const strip = Math.floor(width / 4);
  return [0, 2].map((i) => ({ pixels, crop: { left: i * strip, top: 0, width: strip, height } }));
}

/** Class scores of one vector; `weights` [K, C + 1], the last column is the bias. */
function scores(weights, data, start, channels) {
  return weights.map((row) => {
    let sum = row[channels];
    for (let c = 0; c < channels; c++) sum += row[c] * data[start + c];
    return sum;
  });
}

/** Mean and standard deviation of every channel over all samples. */
function channelStatistics(samples, channels) {
  const mean = new Float64Array(channels);
  const square = new Float64Array(channels);
  const total = samples.reduce((sum, { count }) => sum + count, 0);
  for (const { data } of samples) {
    for (const [i, value] of data.entries()) {
      mean[i % channels] += value / total;
      square[i % channels] += value ** 2 / total;
    }
  }
  return { mean, std: square.map((value, c) => Math.sqrt(value - mean[c] ** 2 + 1e-6)) };
}

/**
 * Softmax regression by gradient descent, on channels normalised to mean 0 and standard deviation 1.
 * @param samples { data, count, label }: vectors [count, channels] of one class
 * @returns weights for the original vectors, without normalisation
 */
function train(samples, channels, classes, { steps = 150, rate = 0.1 } = {}) {
  const weights = Array.from({ length: classes }, () => new Float64Array(channels + 1));
  const total = samples.reduce((sum, { count }) => sum + count, 0);
  const { mean, std } = channelStatistics(samples, channels);
  const scaled = samples.map(({ data, ...sample }) => ({
    ...sample,
    data: data.map((value, i) => (value - mean[i % channels]) / std[i % channels]),
  }));
  for (let step = 0; step < steps; step++) {
    const gradient = weights.map(() => new Float64Array(channels + 1));
    for (const { data, count, label } of scaled) {
      for (let i = 0; i < count; i++) {
        const found = scores(weights, data, i * channels, channels);
        const most = Math.max(...found);
        const exps = found.map((score) => Math.exp(score - most));
        const sum = exps.reduce((a, b) => a + b);
        for (let k = 0; k < classes; k++) {
          const error = exps[k] / sum - (k === label ? 1 : 0);
          for (let c = 0; c < channels; c++) gradient[k][c] += error * data[i * channels + c];
          gradient[k][channels] += error;
        }
      }
    }
    for (let k = 0; k < classes; k++) {
      for (let c = 0; c <= channels; c++) weights[k][c] -= (rate / total) * gradient[k][c];
    }
  }
  return weights.map((row) => {
    const own = Float64Array.from(row, (value, c) => (c < channels ? value / std[c] : value));
    for (let c = 0; c < channels; c++) own[channels] -= own[c] * mean[c];
    return own;
  });
}

const samples = [];
let channels = 0;
for (const [label, { file }] of CLASSES.entries()) {
  for (const { pixels, crop } of await trainingStrips(file)) {
    const { data, shape } = await cellVectors(pixels, { width: 448, height: 896, crop });
    channels = shape[2];
    samples.push({ data, count: shape[0] * shape[1], label });
  }
}
const weights = train(samples, channels, CLASSES.length);
const cells = samples.reduce((sum, { count }) => sum + count, 0);

/** A PNG of the image's size with the class of every cell as a grey level. */
async function segment(pixels, signal) {
  const { width, height } = await sharp(pixels).metadata();
  const sized = (side) => Math.max(32, Math.round(side / 32) * 32);
  const { data, shape, grid } = await cellVectors(pixels, { width: sized(width), height: sized(height), signal });
  const labels = Uint8Array.from({ length: shape[0] * shape[1] }, (_, cell) => {
    const found = scores(weights, data, cell * channels, channels);
    return level(found.indexOf(Math.max(...found)));
  });
  const mask = sharp(labels, { raw: { width: grid.columns, height: grid.rows, channels: 1 } });
  return mask.resize(width, height, { fit: 'fill', kernel: 'nearest' }).toColourspace('b-w').png().toBuffer();
}

async function body(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new RangeError(`the image has more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const server = createServer(async (request, response) => {
  // If the HTTP client disconnects, the call is cancelled and leaves the service's queue.
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  try {
    if (request.method !== 'POST' || request.url !== '/segment') {
      response.writeHead(404).end('POST an image to /segment\n');
      return;
    }
    const mask = await segment(await body(request), gone.signal);
    response
      .writeHead(200, { 'content-type': 'image/png', 'x-classes': CLASSES.map(({ name }) => name).join() })
      .end(mask);
  } catch (error) {
    const busy = error instanceof VicreglError && ['RESOURCE_EXHAUSTED', 'UNAVAILABLE'].includes(error.code);
    // HTTP's Retry-After is in whole seconds.
    const seconds = busy && error.retryAfterSeconds !== undefined ? Math.ceil(error.retryAfterSeconds) : undefined;
    const headers = seconds === undefined ? {} : { 'retry-after': String(seconds) };
    response.writeHead(busy ? 503 : 400, headers).end(`${error.message}\n`);
  }
});
server.listen(Number(process.argv[3] ?? 8080), '127.0.0.1', () => {
  console.log(`trained on ${cells} cells; POST images to http://127.0.0.1:${server.address().port}/segment`);
});
process.once('SIGTERM', () => {
  server.close();
  client.close();
});
