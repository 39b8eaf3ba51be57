import { createHash } from 'node:crypto';
import type { ModelFolder } from '../../models/folder.js';
import { readWeights } from '../../models/readWeights.js';
import { tensorBytes } from '../../tensor/tensor.js';
import { modelDigest } from './modelSubject.js';

/**
 * Identifies a model's backbone by its weights: the same for every export of them, with other stages or heads, in one file or
 * several. For a model whose weights cannot be read (int8, float16 arithmetic) it identifies the files.
 */
export async function weightsDigest(folder: ModelFolder): Promise<string> {
  if (folder.manifest.compute !== 'float32') return modelDigest(folder.manifest);
  const { shapes, read } = await readWeights(folder);
  const names = [...shapes.keys()].filter((name) => name.startsWith('backbone.')).sort();
  if (names.length === 0) return modelDigest(folder.manifest);
  const hash = createHash('sha256');
  for (const name of names) hash.update(`${name} ${shapes.get(name)}\n`).update(tensorBytes(await read(name)));
  return hash.digest('hex');
}
