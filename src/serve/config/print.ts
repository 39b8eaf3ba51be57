import { Document, isScalar, type Pair, type Scalar } from 'yaml';
import type { ResolvedConfig } from './resolve.js';

/** Replaces secrets. */
const REDACTED = '[redacted]';

/** A configuration without secrets: the hashes of tokens are replaced. */
export function redactConfig({ config }: ResolvedConfig): Record<string, unknown> {
  return {
    ...config,
    ...(config.tokens && { tokens: config.tokens.map((token) => ({ ...token, sha256: REDACTED })) }),
  };
}

/** The configuration as YAML, with the source of each value as a comment; secrets are redacted. */
export function printConfig(resolved: ResolvedConfig): string {
  const document = new Document(redactConfig(resolved));
  const { items } = document.contents as unknown as { items: Pair<Scalar<string>>[] };
  for (const { key, value } of items) {
    const origin = ` ${resolved.origins.get(key.value)}`;
    if (isScalar(value)) value.comment = origin;
    else key.commentBefore = origin;
  }
  return document.toString({ lineWidth: 0 });
}
