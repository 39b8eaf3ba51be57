import { useEffect, useMemo, useState } from 'preact/hooks';
import { ApiError } from '../shared/api.js';
import { CopyAs } from './CopyAs.js';
import type { EmbedJson } from './messages.js';
import { Problem } from './Problem.js';
import type { Photo } from './photo.js';
import { embedProgram, type Settings } from './settings.js';
import { Thumbnail } from './Thumbnail.js';
import { readTensor, similarities, type Vectors } from './tensor.js';
import { answersOf } from './useProgram.js';

interface NearestViewProps {
  readonly a: Photo;
  readonly photos: readonly Photo[];
  readonly settings: Settings;
}

/** The photographs shown so far, by the similarity of their global embeddings to the first one's. */
export function NearestView({ a, photos, settings }: NearestViewProps) {
  const [vectors, setVectors] = useState<ReadonlyMap<Photo, Vectors>>(new Map());
  const [error, setError] = useState<ApiError | undefined>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    const work = async () => {
      const found = new Map<Photo, Vectors>();
      for (const photo of photos) {
        const [answer] = await answersOf(embedProgram(photo, settings), stop.signal);
        found.set(photo, readTensor((answer as EmbedJson).embedding));
      }
      setVectors(found);
      setError(undefined);
    };
    work().catch((cause: unknown) => {
      if (!stop.signal.aborted) setError(cause instanceof ApiError ? cause : new ApiError(String(cause), 0));
    });
    return () => stop.abort();
  }, [photos, settings]);
  const ranked = useMemo(() => {
    const query = vectors.get(a);
    if (!query) return undefined;
    return photos
      .filter((photo) => photo !== a && vectors.has(photo))
      .map((photo) => ({ photo, similarity: similarities(vectors.get(photo)!, query, 0)[0]! }))
      .sort((one, other) => other.similarity - one.similarity);
  }, [a, photos, vectors]);
  return (
    <>
      <p class="about">
        The photographs shown so far, by the cosine similarity of their global embeddings to that of{' '}
        <strong>{a.name}</strong>. Embeddings use the model's own preprocessing and backbone.
      </p>
      <Problem error={error} what="The embeddings cannot be compared." />
      {ranked === undefined && !error && <p class="empty">Computing embeddings…</p>}
      {ranked?.length === 0 && <p class="empty">Add more photographs: there is nothing to compare with yet.</p>}
      {ranked && ranked.length > 0 && (
        <ol class="ranking">
          {ranked.map(({ photo, similarity }) => (
            <li key={photo.id}>
              <Thumbnail photo={photo} />
              <span class="name">{photo.name}</span>
              <meter min="0" max="1" value={Math.max(0, similarity)} aria-label={`Similarity of ${photo.name}`} />
              <span class="number">{similarity.toFixed(3)}</span>
            </li>
          ))}
        </ol>
      )}
      <CopyAs program={embedProgram(a, settings)} />
    </>
  );
}
