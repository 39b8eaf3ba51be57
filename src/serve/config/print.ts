import { Document, isScalar, type Pair, type Scalar } from 'yaml';
import type { ResolvedConfig } from './resolve.js';

/** The configuration as YAML, in which each line says where its value comes from. */
export function printConfig(resolved: ResolvedConfig): string {
  const document = new Document(resolved.config);
  const { items } = document.contents as unknown as { items: Pair<Scalar<string>>[] };
  for (const { key, value } of items) {
    const origin = ` ${resolved.origins.get(key.value)}`;
    if (isScalar(value)) value.comment = origin;
    else key.commentBefore = origin;
  }
  return document.toString({ lineWidth: 0 });
}
