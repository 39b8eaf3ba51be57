import { createHash } from 'node:crypto';
import type { ImageBatch } from '../engine/engine.js';
import type { Tensor } from '../tensor/tensor.js';
import type { FeatureCache } from './featureCache.js';
import type { Subject, SubjectSource } from './subjects/subject.js';

/**
 * A subject's maps of a batch, from the cache where it has them. They are found again by the digest of the subject and the pixels
 * of the batch.
 * @returns float32 [B, h, w, C]
 */
export async function cachedMaps(
  cache: FeatureCache,
  subject: Subject,
  { digest }: Pick<SubjectSource, 'digest'>,
  batch: ImageBatch,
  output: 'maps' | 'maps_embedding',
): Promise<Tensor<'float32'>> {
  const pixels = createHash('sha256').update(batch.data).digest('hex');
  const { tensors } = await cache.part(
    { kind: 'maps', digest, provider: subject.provider, output, shape: batch.shape, pixels },
    async () => {
      const outputs = await subject.run(batch, new Set([output]));
      return { tensors: new Map([[output, outputs[output]!]]), metadata: {} };
    },
  );
  return tensors.get(output) as Tensor<'float32'>;
}
