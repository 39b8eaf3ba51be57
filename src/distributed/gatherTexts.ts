import type { Collectives } from './collectives.js';

/** The texts of all ranks, in rank order. */
export async function gatherTexts({ rank, size, allGather }: Collectives, own: string): Promise<string[]> {
  const bytes = Buffer.from(own);
  const lengths = new Int32Array(size);
  lengths[rank] = bytes.length;
  await allGather(lengths);
  // Parts are equal, so each has the room of the longest.
  const room = Math.max(...lengths);
  const all = new Uint8Array(size * room);
  all.set(bytes, rank * room);
  if (room > 0) await allGather(all);
  return Array.from(lengths, (length, i) => Buffer.from(all.subarray(i * room, i * room + length)).toString());
}
