import { useContext, useEffect, useMemo, useState } from 'preact/hooks';
import { type ApiError, asApiError } from '../shared/api.js';
import { CopyAs } from './CopyAs.js';
import { type EmbedJson, idOf } from './messages.js';
import { Problem } from './Problem.js';
import type { Photo } from './photo.js';
import { SessionContext } from './session.js';
import { embedProgram, type Settings } from './settings.js';
import { Thumbnail } from './Thumbnail.js';
import { readTensor, similarities, type Vectors } from './tensor.js';
import { answersOf } from './useProgram.js';

interface NearestViewProps {
  readonly a: Photo;
  readonly photos: readonly Photo[];
  readonly settings: Settings;
}

/** The embedding of a photograph, and name@version of the model that computed it. */
interface Embedded {
  readonly vector: Vectors;
  readonly model: string;
}

/** The photographs shown so far, by the similarity of their global embeddings to the first one's. */
export function NearestView({ a, photos, settings }: NearestViewProps) {
  const session = useContext(SessionContext).count;
  const [embedded, setEmbedded] = useState<ReadonlyMap<Photo, Embedded>>(new Map());
  const [failed, setFailed] = useState<{ readonly photo: Photo; readonly error: ApiError } | undefined>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    const work = async () => {
      setFailed(undefined);
      const found = new Map<Photo, Embedded>();
      for (const photo of photos) {
        try {
          const [answer] = await answersOf(embedProgram(photo, settings), stop.signal);
          const { embedding, model } = answer as EmbedJson;
          found.set(photo, { vector: readTensor(embedding), model: idOf(model) });
        } catch (cause) {
          if (!stop.signal.aborted) setFailed({ photo, error: asApiError(cause) });
        }
        if (stop.signal.aborted) return;
      }
      setEmbedded(found);
    };
    void work();
    return () => stop.abort();
  }, [photos, settings, session]);
  const ranked = useMemo(() => {
    const query = embedded.get(a);
    if (!query) return undefined;
    return photos
      .filter((photo) => photo !== a && embedded.get(photo)?.model === query.model)
      .map((photo) => ({ photo, similarity: similarities(embedded.get(photo)!.vector, query.vector, 0)[0]! }))
      .sort((one, other) => other.similarity - one.similarity);
  }, [a, photos, embedded]);
  return (
    <>
      <p class="about">
        The photographs shown so far, by the cosine similarity of their global embeddings to that of{' '}
        <strong>{a.name}</strong>. Embeddings use the model's own preprocessing and backbone.
      </p>
      <Problem error={failed?.error} what={`${failed?.photo.name} cannot be compared.`} />
      {ranked === undefined && !failed && <p class="empty">Computing embeddings…</p>}
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
