/** Writes models/manifest.schema.json from the schema of the manifests. Run by `npm run docs`. */

import { fileURLToPath } from 'node:url';
import writeFileAtomic from 'write-file-atomic';
import { manifestJsonSchema } from '../../src/models/manifestJsonSchema.js';

const path = fileURLToPath(new URL('../../../models/manifest.schema.json', import.meta.url));
await writeFileAtomic(path, `${JSON.stringify(manifestJsonSchema(), null, 2)}\n`);
