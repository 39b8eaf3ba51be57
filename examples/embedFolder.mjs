// The vectors of images, over HTTP. Shared by the examples of vector databases.
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';

const TYPES = { '.jpg': 'image/jpeg', '.jpeg': 'image/jpeg', '.png': 'image/png', '.webp': 'image/webp' };
const CONCURRENCY = 4;
const TRIES = 5;

/** @returns {Promise<{ vector: Float32Array, model: string }>} a vector of length 1, and `name@version` of the model */
export async function embed(path, service) {
  const body = await readFile(path);
  const headers = { 'content-type': TYPES[extname(path).toLowerCase()] ?? 'application/octet-stream' };
  for (let tries = 1; ; tries++) {
    const response = await fetch(`${service}/v1/embed?l2Normalize=true`, { method: 'POST', headers, body });
    const answer = await response.json();
    if (response.ok) {
      const bytes = Uint8Array.from(Buffer.from(answer.embedding.data, 'base64'));
      return { vector: new Float32Array(bytes.buffer), model: `${answer.model.name}@${answer.model.version}` };
    }
    const wait = Number(response.headers.get('retry-after'));
    // Overloaded: the service says when to try again.
    if (wait === 0 || tries === TRIES) throw new Error(`${path}: ${answer.message}`);
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
}

/** The images of a folder with their vectors, some at a time. Files that cannot be read as images are reported and left out. */
export async function* embedFolder(folder, service) {
  const names = (await readdir(folder)).filter((name) => extname(name).toLowerCase() in TYPES).sort();
  for (let i = 0; i < names.length; i += CONCURRENCY) {
    const part = names.slice(i, i + CONCURRENCY).map((name) => join(folder, name));
    const results = await Promise.allSettled(part.map((path) => embed(path, service)));
    for (const [j, result] of results.entries()) {
      if (result.status === 'fulfilled') yield { path: part[j], ...result.value };
      else console.error(result.reason.message);
    }
  }
}
