import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { z } from 'zod';
import type { Box } from '../image/types.js';
import { ExtractError } from './extractError.js';

/** Regions of images, from a file. */
export interface Boxes {
  /** SHA-256 of the file. */
  readonly sha256: string;
  /** Number of boxes of all images. */
  readonly count: number;
  /** Boxes of an image by its name in the source; undefined for an image without an entry. */
  of(name: string): readonly Box[] | undefined;
  /** Images with an entry. */
  readonly names: Iterable<string>;
}

const line = z.object({
  path: z.string().min(1),
  boxes: z.array(z.tuple([z.number(), z.number(), z.number(), z.number()])),
});

/**
 * Reads a .jsonl file with one image per line: {"path": NAME, "boxes": [[left, top, right, bottom], ...]}. NAME is that of the
 * image in the source. Edges are in pixels of the original, after EXIF orientation, and may be fractional.
 * @throws ExtractError `bad_option` naming the line; the file system's error
 */
export async function readBoxes(path: string): Promise<Boxes> {
  const found = new Map<string, Float64Array>();
  const hash = createHash('sha256');
  let count = 0;
  let number = 0;
  const file = await open(path);
  try {
    for await (const whole of file.readLines()) {
      number++;
      hash.update(whole).update('\n');
      const text = number === 1 ? whole.replace(/^\uFEFF/, '') : whole;
      if (text.trim() === '') continue;
      const fail = (what: string) => new ExtractError('bad_option', `--pool: ${path}, line ${number}: ${what}`);
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch (cause) {
        throw fail(`not JSON: ${(cause as Error).message}`);
      }
      const parsed = line.safeParse(value);
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        throw fail(
          `${issue?.path.join('.') || 'line'}: ${issue?.message}; write {"path": NAME, "boxes": [[left, top, right, bottom], ...]}`,
        );
      }
      const { path: name, boxes } = parsed.data;
      if (found.has(name)) throw fail(`${name} has a line already; write all boxes of an image in one line`);
      const wrong = boxes.findIndex(([left, top, right, bottom]) => !(right > left && bottom > top));
      if (wrong >= 0) {
        throw fail(
          `boxes[${wrong}]: [${boxes[wrong]!.join(', ')}] has no area; right must be greater than left and bottom greater than top`,
        );
      }
      found.set(name, Float64Array.from(boxes.flat()));
      count += boxes.length;
    }
  } finally {
    await file.close();
  }
  return {
    sha256: hash.digest('hex'),
    count,
    names: found.keys(),
    of(name) {
      const edges = found.get(name);
      if (edges === undefined) return undefined;
      return Array.from({ length: edges.length / 4 }, (_, i) => {
        const [left, top, right, bottom] = edges.subarray(i * 4, i * 4 + 4) as unknown as [
          number,
          number,
          number,
          number,
        ];
        return { left, top, right, bottom };
      });
    },
  };
}
