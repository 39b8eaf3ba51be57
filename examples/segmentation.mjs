// A segmentation backend: maps from the service, and a head that vicregl evaluate segmentation has trained.
//
//   npx vicregl models convert MODEL --stages 1,2,3,4 --out models/staged      # a ConvNeXt with the maps of its stages
//   npx vicregl evaluate segmentation --model models/staged --data DIR --out-head HEAD
//   npx vicregl serve --model models/staged
//   node examples/segmentation.mjs HEAD [HOST:PORT of the service] [port to listen on; 0 selects a free one]
//   curl --data-binary @photo.jpg http://127.0.0.1:8080/segment > labels.png     # a label per pixel, as a grey level
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import sharp from 'sharp';
import { createClient, VicreglError } from 'vicregl';

// ONNX Runtime reports its use unless this is set before it is loaded.
process.env.ORT_DISABLE_TELEMETRY = '1';
const ort = await import('onnxruntime-node');

const MAX_BYTES = 32 * 1024 * 1024;

const dir = process.argv[2];
if (dir === undefined)
  throw new Error('give the folder of a head: node examples/segmentation.mjs HEAD [HOST:PORT] [port]');
const head = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8'));
if (head.format !== 'vicregl-segmentation-head' || head.formatVersion !== 1) {
  throw new Error(`${dir} is not a segmentation head of version 1`);
}
const session = await ort.InferenceSession.create(join(dir, 'head.onnx'));
const client = createClient({ address: process.argv[3] ?? '127.0.0.1:50051' });

/** Numbers of the stages that the head reads; 0 is the last map. */
const stages = head.maps.map(({ name }) => (name === 'maps' ? 0 : Number(name.replace('stage', ''))));

/** Sides of the network's input: those of the photograph, or as large as the head was trained on, to multiples of the stride. */
function inputSize({ width, height }) {
  const factor = head.shortest === undefined ? 1 : head.shortest / Math.min(width, height);
  const side = (length) => Math.max(1, Math.round((length * factor) / head.inputStride)) * head.inputStride;
  return { width: side(width), height: side(height) };
}

/** Logits [rows, columns, K] of a photograph. */
async function logitsOf(pixels, size, signal) {
  const image = { pixels, resize: { kind: 'fit', ...inputSize(size) } };
  const { maps, model } = await client.features(image, { stages, dtype: 'float16', chunked: true, signal });
  if (model.name !== head.model.name || model.version !== head.model.version) {
    const [own, other] = [head.model, model].map(({ name, version }) => `${name} ${version}`);
    throw new Error(`the head was trained on ${own}, and the service answers with ${other}: serve that model`);
  }
  const feeds = Object.fromEntries(
    maps.map(({ data, shape }, i) => [
      head.maps[i].name,
      new ort.Tensor('float32', Float32Array.from(data), [1, ...shape]),
    ]),
  );
  const { logits } = await session.run(feeds);
  return { data: logits.data, rows: logits.dims[1], columns: logits.dims[2] };
}

/** Nearest cells of every pixel along one axis, and the share of the second. */
const axis = (pixels, cells) =>
  Array.from({ length: pixels }, (_, i) => {
    const position = Math.min(cells - 1, Math.max(0, ((i + 0.5) * cells) / pixels - 0.5));
    const first = Math.floor(position);
    return [first, Math.min(cells - 1, first + 1), position - first];
  });

/** The most likely class of every pixel: logits upsampled bilinearly to the photograph. */
function labelsOf({ data, rows, columns }, width, height) {
  const classes = head.classes.length;
  const labels = new Uint8Array(width * height);
  const across = axis(width, columns);
  for (const [y, [top, bottom, down]] of axis(height, rows).entries()) {
    for (const [x, [left, right, along]] of across.entries()) {
      const at = (row, column) => (row * columns + column) * classes;
      const corners = [at(top, left), at(top, right), at(bottom, left), at(bottom, right)];
      let [best, most] = [0, Number.NEGATIVE_INFINITY];
      for (let k = 0; k < classes; k++) {
        const [a, b, c, d] = corners.map((corner) => data[corner + k]);
        const value = (a * (1 - along) + b * along) * (1 - down) + (c * (1 - along) + d * along) * down;
        if (value > most) [best, most] = [k, value];
      }
      labels[y * width + x] = best;
    }
  }
  return labels;
}

/** A grey PNG of the photograph's size whose levels are the labels. */
async function segment(pixels, signal) {
  const { width, height } = (await sharp(pixels).metadata()).autoOrient;
  const logits = await logitsOf(pixels, { width, height }, signal);
  return sharp(labelsOf(logits, width, height), { raw: { width, height, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toBuffer();
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
      .writeHead(200, { 'content-type': 'image/png', 'x-classes': head.classes.map(({ name }) => name).join() })
      .end(mask);
  } catch (error) {
    const busy = error instanceof VicreglError && ['RESOURCE_EXHAUSTED', 'UNAVAILABLE'].includes(error.code);
    // HTTP's Retry-After is in whole seconds.
    const seconds = busy && error.retryAfterSeconds !== undefined ? Math.ceil(error.retryAfterSeconds) : undefined;
    const headers = seconds === undefined ? {} : { 'retry-after': String(seconds) };
    response.writeHead(busy ? 503 : 400, headers).end(`${error.message}\n`);
  }
});
server.listen(Number(process.argv[4] ?? 8080), '127.0.0.1', () => {
  console.log(`${head.classes.length} classes; POST images to http://127.0.0.1:${server.address().port}/segment`);
});
process.once('SIGTERM', () => {
  server.close();
  client.close();
});
