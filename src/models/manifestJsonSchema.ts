import { z } from 'zod';
import { manifestSchema } from './manifest.js';

/** JSON Schema (draft 2020-12) of manifest.json; published as models/manifest.schema.json for tools outside Node. */
export function manifestJsonSchema(): Record<string, unknown> {
  return { title: 'vicregl model manifest', ...z.toJSONSchema(manifestSchema) };
}
