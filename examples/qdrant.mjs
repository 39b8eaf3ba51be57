// Search by image in Qdrant, over its REST API.
//
//   docker run -p 6333:6333 qdrant/qdrant
//   node examples/qdrant.mjs FOLDER QUERY.jpg [http://127.0.0.1:8080] [http://127.0.0.1:6333]
//
// The tests do not run this example against Qdrant, but against a server that checks its requests.
import { createHash } from 'node:crypto';
import { embed, embedFolder } from './embedFolder.mjs';

const COLLECTION = '/collections/images';
const BATCH = 256;

const [, , folder, query, service = 'http://127.0.0.1:8080', qdrant = 'http://127.0.0.1:6333'] = process.argv;

async function call(method, path, body) {
  const response = await fetch(qdrant + path, {
    method,
    headers: { 'content-type': 'application/json', 'api-key': process.env.QDRANT_API_KEY ?? '' },
    ...(body && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()).result;
}

/** Ids of Qdrant are numbers or UUIDs: the same path has the same id, so a second run replaces its vector. */
function idOf(path) {
  const hex = createHash('sha256').update(path).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}

const wanted = await embed(query, service);
const { exists } = await call('GET', `${COLLECTION}/exists`);
if (!exists) await call('PUT', COLLECTION, { vectors: { size: wanted.vector.length, distance: 'Cosine' } });

let points = [];
const flush = async () => {
  if (points.length > 0) await call('PUT', `${COLLECTION}/points?wait=true`, { points });
  points = [];
};
for await (const { path, vector, model } of embedFolder(folder, service)) {
  points.push({ id: idOf(path), vector: [...vector], payload: { path, model } });
  if (points.length === BATCH) await flush();
}
await flush();

// Only vectors of one model can be compared.
const filter = { must: [{ key: 'model', match: { value: wanted.model } }] };
const found = await call('POST', `${COLLECTION}/points/query`, {
  query: [...wanted.vector],
  filter,
  limit: 5,
  with_payload: true,
});
for (const { score, payload } of found.points) console.log(`${score.toFixed(3)} ${payload.path}`);
