/** Writes models/manifest.schema.json from the schema of the manifests. Run by `npm run docs`. */

import { fileURLToPath } from 'node:url';
import { writeFileAtomically } from '../../src/files/atomicFile.js';
import { manifestJsonSchema } from '../../src/models/manifestJsonSchema.js';

const path = fileURLToPath(new URL('../../../models/manifest.schema.json', import.meta.url));
await writeFileAtomically(path, `${JSON.stringify(manifestJsonSchema(), null, 2)}\n`);
