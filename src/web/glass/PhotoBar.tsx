import { useEffect, useRef, useState } from 'preact/hooks';
import type { Photo } from './photo.js';
import { SAMPLES, type Sample } from './samples.js';
import { Thumbnail } from './Thumbnail.js';

interface PhotoBarProps {
  readonly photos: readonly Photo[];
  readonly a: Photo | undefined;
  readonly b: Photo | undefined;
  /** Names of files that are being read. */
  readonly reading: readonly string[];
  readonly onFiles: (files: readonly File[]) => void;
  readonly onSamples: (samples: readonly Sample[]) => void;
  readonly onPlace: (place: 0 | 1, photo: Photo | undefined) => void;
  readonly onRemove: (photo: Photo) => void;
}

/** Adds photographs and selects the one or two that the views show. */
export function PhotoBar({ photos, a, b, reading, onFiles, onSamples, onPlace, onRemove }: PhotoBarProps) {
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const allow = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      setOver(event.type === 'dragover');
      if (event.type === 'drop') onFiles([...event.dataTransfer.files]);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const paste = (event: ClipboardEvent) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length > 0) onFiles(files);
    };
    addEventListener('dragover', allow);
    addEventListener('drop', allow);
    addEventListener('dragleave', leave);
    addEventListener('paste', paste);
    return () => {
      removeEventListener('dragover', allow);
      removeEventListener('drop', allow);
      removeEventListener('dragleave', leave);
      removeEventListener('paste', paste);
    };
  }, [onFiles]);
  const empty = photos.length === 0;
  return (
    <section class={empty ? 'photos first' : 'photos'} aria-label="Photographs">
      <div class="add">
        <div class={over ? 'drop over' : 'drop'}>
          <button type="button" class="primary" onClick={() => input.current?.click()}>
            Choose photographs
          </button>
          <span class="hint">{empty ? 'or drop or paste them anywhere on this page' : 'or drop or paste'}</span>
          <input
            ref={input}
            type="file"
            accept="image/*,.tif,.tiff,.avif"
            multiple
            class="hidden"
            tabIndex={-1}
            aria-label="Photographs"
            onChange={(event) => {
              onFiles([...(event.currentTarget.files ?? [])]);
              event.currentTarget.value = '';
            }}
          />
        </div>
        <div class="samples">
          <span class="hint">{empty ? 'No photograph at hand? Try' : 'Bundled:'}</span>
          {SAMPLES.map((sample) => (
            <button key={sample.label} type="button" onClick={() => onSamples([sample])} title={sample.credit}>
              {sample.label}
            </button>
          ))}
          {empty && (
            <button type="button" onClick={() => onSamples(SAMPLES.slice(0, 2))}>
              Two views of the coffee
            </button>
          )}
        </div>
      </div>
      {reading.length > 0 && (
        <p class="reading" role="status">
          Reading {reading.join(', ')}…
        </p>
      )}
      {!empty && (
        <ul class="strip" aria-label="Photographs shown so far">
          {photos.map((photo) => (
            <li key={photo.id} class={photo === a || photo === b ? 'shown' : ''}>
              <Thumbnail photo={photo} />
              <span class="name" title={photo.name}>
                {photo.name}
              </span>
              <span class="places">
                <button
                  type="button"
                  aria-pressed={photo === a}
                  aria-label={`1: show ${photo.name} as the first photograph`}
                  onClick={() => onPlace(0, photo)}
                >
                  1
                </button>
                <button
                  type="button"
                  aria-pressed={photo === b}
                  aria-label={`2: show ${photo.name} as the second photograph`}
                  onClick={() => onPlace(1, photo === b ? undefined : photo)}
                >
                  2
                </button>
                <button type="button" aria-label={`× Remove ${photo.name}`} onClick={() => onRemove(photo)}>
                  ×
                </button>
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
