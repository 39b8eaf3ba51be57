import { createHash, randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Engine, OutputName } from '../../../engine/engine.js';
import type { Image__Output } from '../../../proto/generated/vicregl/v1/Image.js';
import { readResizePolicy } from '../wire/image.js';

/** Bytes hashed at a time; this takes a few ms. */
const SLICE = 4 * 1024 * 1024;

/** A random secret per engine: references cannot be guessed, and a reloaded model has other references. */
const instances = new WeakMap<Engine, string>();

function instanceOf(engine: Engine): string {
  const known = instances.get(engine) ?? randomUUID();
  instances.set(engine, known);
  return known;
}

/**
 * The reference of an image's features: a hash of its bytes, crop and size, of the model and of the output. The same input
 * gives the same reference.
 */
export async function featureRef(engine: Engine, image: Image__Output, output: OutputName): Promise<string> {
  const { manifest } = engine;
  const { crop, raw } = image;
  const hash = createHash('sha256').update(
    JSON.stringify([
      instanceOf(engine),
      manifest.name,
      manifest.version,
      output,
      readResizePolicy(image, manifest),
      crop && [crop.top, crop.left, crop.height, crop.width, crop.flip],
      raw ? [raw.width, raw.height] : 'encoded',
    ]),
  );
  const bytes = image.encoded ?? raw?.rgb ?? new Uint8Array();
  for (let at = 0; at < bytes.length; at += SLICE) {
    if (at > 0) await nextTurn();
    hash.update(bytes.subarray(at, at + SLICE));
  }
  return hash.digest('base64url');
}
