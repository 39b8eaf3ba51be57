// The README's TypeScript example, runnable: node examples/client.mjs [HOST:PORT]
import { readFile } from 'node:fs/promises';
import { cellCentre, createClient } from 'vicregl';

const client = createClient({ address: process.argv[2] ?? '127.0.0.1:50051' });
const photo = await readFile(new URL('../test/fixtures/photos/astronaut.jpg', import.meta.url));

// Embed: one vector for the whole photograph.
const { vector } = await client.embed(photo, { l2Normalize: true });
console.log(vector.length, Array.from(vector.subarray(0, 3), (v) => v.toFixed(4)).join(' '));

// ExtractFeatures: a vector for every cell, and where each cell lies in the photograph.
const { data, shape, grid } = await client.features(photo, { space: 'localProjector', dtype: 'float16' });
console.log(shape.join('x'), data.length, cellCentre(grid, 0, 6));

// Match: the cells of one picture that look like cells of another; here two crops of one, the second turned.
const a = { pixels: photo, crop: { top: 0, left: 60, width: 300, height: 300 } };
const b = { pixels: photo, crop: { top: 20, left: 90, width: 300, height: 300, flip: true } };
const { pairs } = await client.match(a, b, { by: 'features', topGamma: 3, mutual: true });
for (const pair of pairs) {
  console.log([pair.a.x, pair.a.y, pair.b.x, pair.b.y].map(Math.round).join(' '), pair.similarity.toFixed(3));
}

// GetModel: what answered.
const model = await client.model();
console.log(model.name, model.version, model.architecture, `alpha ${model.alpha}`, model.provider);

await client.close();
