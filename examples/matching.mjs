// A small HTTP API for matching, in front of the service.
//
//   node examples/matching.mjs [HOST:PORT of the service] [port to listen on; 0 selects a free one]
//   curl -F a=@one.jpg -F b=@two.jpg 'http://127.0.0.1:8081/match?top=20&mutual=true'
//
// Response: { pairs: [{ a: { x, y }, b: { x, y }, distance, similarity }], model }, in pixels of the two images.
import { createServer } from 'node:http';
import { createClient, VicreglError } from 'vicregl';

const MAX_BYTES = 64 * 1024 * 1024;
const DEADLINE_MS = 20_000;

/** The HTTP status for each gRPC status of the service. */
const HTTP = {
  INVALID_ARGUMENT: 400,
  NOT_FOUND: 404,
  FAILED_PRECONDITION: 400,
  CANCELLED: 499,
  RESOURCE_EXHAUSTED: 429,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
};

const client = createClient({ address: process.argv[2] ?? '127.0.0.1:50051', deadlineMs: DEADLINE_MS });

/** HTTP's Retry-After is in whole seconds. */
const retryAfter = ({ retryAfterSeconds: seconds }) =>
  seconds === undefined ? {} : { 'retry-after': String(Math.ceil(seconds)) };

class BadRequest extends Error {}

/** The two images of a multipart form. */
async function pictures(request) {
  if (Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY) > MAX_BYTES) {
    throw new BadRequest(`the form needs a content-length of at most ${MAX_BYTES} bytes`);
  }
  const form = await new Response(request, { headers: request.headers, duplex: 'half' }).formData().catch(() => {
    throw new BadRequest('the body is not a multipart form');
  });
  return Promise.all(
    ['a', 'b'].map(async (name) => {
      const file = form.get(name);
      if (file === null || typeof file === 'string') throw new BadRequest(`the form has no file "${name}"`);
      return new Uint8Array(await file.arrayBuffer());
    }),
  );
}

function number(text) {
  // The number of an empty text would be 0.
  const value = text.trim() === '' ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : undefined;
}

/** Options of the match by their names in the query: field, what the value has to be, and how it is read. */
const OPTIONS = {
  top: ['topGamma', 'a number', number],
  ratio: ['ratio', 'a number', number],
  similarity: ['minSimilarity', 'a number', number],
  mutual: ['mutual', 'true or false', (text) => (text === 'true' ? true : text === 'false' ? false : undefined)],
};

/** Options of the match from the query; the service checks their ranges. */
function options(query) {
  const entries = [...query].map(([name, text]) => {
    if (!Object.hasOwn(OPTIONS, name)) {
      throw new BadRequest(`${name.slice(0, 64)}: no such option; there are ${Object.keys(OPTIONS).join(', ')}`);
    }
    const [field, wanted, read] = OPTIONS[name];
    const value = read(text);
    if (value === undefined) throw new BadRequest(`${name}: ${JSON.stringify(text.slice(0, 64))} is not ${wanted}`);
    return [field, value];
  });
  return Object.fromEntries(entries);
}

function send(response, code, value, headers = {}) {
  response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(`${JSON.stringify(value)}\n`);
}

const server = createServer(async (request, response) => {
  // If the HTTP client disconnects, the call is cancelled and leaves the service's queue.
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  try {
    const [pathname, query = ''] = request.url.split('?', 2);
    if (request.method !== 'POST' || pathname !== '/match') {
      send(response, 404, { error: 'POST a form with the files a and b to /match' });
      return;
    }
    const [a, b] = await pictures(request);
    const { pairs, model } = await client.match(a, b, { ...options(new URLSearchParams(query)), signal: gone.signal });
    const point = ({ x, y }) => ({ x, y });
    send(response, 200, {
      pairs: pairs.map(({ a, b, ...values }) => ({ a: point(a), b: point(b), ...values })),
      model,
    });
  } catch (error) {
    if (error instanceof BadRequest) send(response, 400, { error: error.message });
    else if (error instanceof VicreglError) {
      const code = HTTP[error.code] ?? 500;
      send(response, code, { error: error.message, reason: error.reason }, retryAfter(error));
    } else {
      console.error(error);
      send(response, 500, { error: 'internal error' });
    }
  }
});
server.listen(Number(process.argv[3] ?? 8081), '127.0.0.1', () => {
  console.log(`POST two images to http://127.0.0.1:${server.address().port}/match`);
});
process.once('SIGTERM', () => {
  server.close();
  client.close();
});
