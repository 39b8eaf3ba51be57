// The TypeScript example of the README as a program: node examples/client.mjs [HOST:PORT]
import { readFile } from 'node:fs/promises';
import { cellCentre, createClient } from 'vicregl';

const client = createClient({ address: process.argv[2] ?? '127.0.0.1:50051' });
const photo = await readFile(new URL('../test/fixtures/photos/astronaut.jpg', import.meta.url));

// Embed: one vector for the whole photograph.
const { vector } = await client.embed(photo, { l2Normalize: true });
console.log(vector.length, Array.from(vector.subarray(0, 3), (v) => v.toFixed(4)).join(' '));

// ExtractFeatures: a vector for every cell, and the position of each cell in the photograph.
const { data, shape, grid } = await client.features(photo, { space: 'localProjector', dtype: 'float16' });
console.log(shape.join('x'), data.length, cellCentre(grid, 0, 6));

// Match: pairs of cells of two images that look alike; here two crops of the same image, the second one flipped.
const a = { pixels: photo, crop: { top: 0, left: 60, width: 300, height: 300 } };
const b = { pixels: photo, crop: { top: 20, left: 90, width: 300, height: 300, flip: true } };
const { pairs } = await client.match(a, b, { by: 'features', topGamma: 3, mutual: true });
for (const pair of pairs) {
  console.log([pair.a.x, pair.a.y, pair.b.x, pair.b.y].map(Math.round).join(' '), pair.similarity.toFixed(3));
}

// GetModel: the model that answered.
const model = await client.model();
console.log(model.name, model.version, model.architecture, `alpha ${model.alpha}`, model.provider);

await client.close();
