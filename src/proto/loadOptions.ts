import { fileURLToPath } from 'node:url';
import type { Options } from '@grpc/proto-loader';

/** The folder of .proto files, three levels above this file in dist/src/proto. */
const protoFolder = fileURLToPath(new URL('../../../proto/', import.meta.url));

/** The same choices as the generated types' (`npm run generate`); bytes arrive as Buffer. */
export const loadOptions: Options = {
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
  includeDirs: [protoFolder],
};
