import { writeSynced } from '../files/syncedFile.js';
import { keypointsOf } from './features.js';
import type { MatchedSet, NamedPair } from './output.js';
import { writeWholeFile } from './wholeFile.js';

/** A line of `matches.jsonl`: coordinates are pixels of the upright images, the centre of the first pixel at (0.5, 0.5). */
async function lineOf(set: MatchedSet, pair: NamedPair): Promise<string> {
  const { source, target, distance, similarity, homography } = await set.matches(pair);
  const [a, b] = [await set.features(pair.a), await set.features(pair.b)];
  const [pointsA, pointsB] = [keypointsOf(a), keypointsOf(b)];
  const at = (points: Float32Array, cell: number, columns: number) => ({
    row: Math.floor(cell / columns),
    column: cell % columns,
    x: points[cell * 2]!,
    y: points[cell * 2 + 1]!,
  });
  const pairs = source.map((cell, i) => ({
    a: at(pointsA, cell, a.columns),
    b: at(pointsB, target[i]!, b.columns),
    distance: distance[i]!,
    similarity: similarity[i]!,
  }));
  return `${JSON.stringify({ a: pair.a, b: pair.b, pairs, ...(homography && { homography }) })}\n`;
}

/** Writes the matches as lines of JSON, a line for each pair, atomically. */
export async function writeJsonMatches(path: string, set: MatchedSet): Promise<void> {
  async function* lines() {
    for (const pair of set.pairs) yield Buffer.from(await lineOf(set, pair));
  }
  await writeWholeFile(path, async (temporary) => {
    await writeSynced(temporary, lines());
  });
}
