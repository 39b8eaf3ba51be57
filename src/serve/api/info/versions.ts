import { createRequire } from 'node:module';
import { packageVersion } from '../../../models/packageVersion.js';

/** What this process is made of. */
export interface Versions {
  readonly server: string;
  readonly onnxruntime: string;
  readonly node: string;
  readonly platform: string;
}

/** Read from the package, not from the runtime itself, which only the workers load. */
export function versions(): Versions {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  return {
    server: packageVersion(),
    onnxruntime: version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
  };
}
