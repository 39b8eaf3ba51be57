import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
import { type ApiError, asApiError, getJson, send, setToken, watchDenied } from '../shared/api.js';
import { Tabs } from '../shared/Tabs.js';
import { ComponentsView } from './ComponentsView.js';
import { LiveView } from './LiveView.js';
import { MatchesView } from './MatchesView.js';
import { idOf, type ModelJson, type ModelsJson, type ServedModelJson } from './messages.js';
import { NearestView } from './NearestView.js';
import { NormsView } from './NormsView.js';
import { PhotoBar } from './PhotoBar.js';
import { type Photo, readPhoto } from './photo.js';
import { SettingsBar } from './SettingsBar.js';
import { SimilarityView } from './SimilarityView.js';
import type { Sample } from './samples.js';
import { SessionContext } from './session.js';
import { embedProgram, type Settings, settingsFor } from './settings.js';
import { TokenForm } from './TokenForm.js';
import { answersOf, noteDefaultModel, watchDefaultModel } from './useProgram.js';

const VIEWS = {
  components: 'Components',
  similarity: 'Similarity',
  norms: 'Norms',
  nearest: 'Nearest',
  matches: 'Matches',
  live: 'Live',
} as const;
type View = keyof typeof VIEWS;

/** Photographs that are kept; the oldest that is not shown goes first. */
const MAX_PHOTOS = 24;

interface Notice {
  readonly id: number;
  readonly name: string;
  readonly error: ApiError;
}

interface Shown {
  readonly photos: readonly Photo[];
  readonly a: Photo | undefined;
  readonly b: Photo | undefined;
}

/** Adds a photograph: to the first free place, else to the second. */
function withPhoto({ photos, a, b }: Shown, photo: Photo): Shown {
  const places = a === undefined ? { a: photo, b } : { a, b: photo };
  const all = [...photos, photo];
  const spare = all.find((each) => each !== places.a && each !== places.b);
  return { photos: all.length > MAX_PHOTOS ? all.filter((each) => each !== spare) : all, ...places };
}

/** Replicas with two models would otherwise begin one session after the other. */
const LEAST_SESSION_MS = 10_000;

let notices = 0;

/** The looking glass. */
export function App() {
  const [view, setView] = useState<View>('components');
  const [shown, setShown] = useState<Shown>({ photos: [], a: undefined, b: undefined });
  const [reading, setReading] = useState<readonly string[]>([]);
  const [refused, setRefused] = useState<readonly Notice[]>([]);
  const [models, setModels] = useState<readonly ServedModelJson[] | undefined>(undefined);
  const [model, setModel] = useState<ModelJson | undefined>(undefined);
  const [unreachable, setUnreachable] = useState<ApiError | undefined>(undefined);
  const [count, setCount] = useState(0);
  const session = useMemo(() => ({ count, renew: () => setCount((before) => before + 1) }), [count]);
  const [settings, setSettings] = useState<Settings>({
    model: '',
    space: 'LOCAL_SPACE_BACKBONE',
    stage: 0,
    detail: 'medium',
  });

  useEffect(() => {
    watchDenied(setUnreachable);
    let since = Number.NEGATIVE_INFINITY;
    watchDefaultModel(() => {
      const now = performance.now();
      if (now - since < LEAST_SESSION_MS) return;
      since = now;
      session.renew();
    });
  }, []);
  useEffect(() => {
    const stop = new AbortController();
    getJson<ModelsJson>('v1/models', stop.signal).then(
      ({ models: listed = [] }) => {
        setModels(listed);
        setUnreachable(undefined);
        if (listed[0]) noteDefaultModel(idOf(listed[0].model));
        // The chosen model may be gone, or be the default now.
        const others = listed.filter(({ isDefault }) => !isDefault).map((each) => idOf(each.model));
        setSettings((before) =>
          before.model === '' || others.includes(before.model) ? before : { ...before, model: '' },
        );
      },
      (cause: unknown) => {
        if (!stop.signal.aborted) setUnreachable(asApiError(cause));
      },
    );
    return () => stop.abort();
  }, [count]);

  const served = models?.find((each) => idOf(each.model) === settings.model) ?? models?.[0];
  useEffect(() => {
    if (!served) return undefined;
    const stop = new AbortController();
    getJson<ModelJson>(`v1/models/${encodeURIComponent(idOf(served.model))}`, stop.signal).then(
      (described) => {
        setModel(described);
        setSettings((before) => settingsFor(before, described));
      },
      (cause: unknown) => {
        if (!stop.signal.aborted) setUnreachable(asApiError(cause));
      },
    );
    return () => stop.abort();
  }, [served]);

  const add = useCallback(
    async (files: readonly { readonly name: string; readonly read: () => Promise<Blob> }[]) => {
      setReading((names) => [...names, ...files.map(({ name }) => name)]);
      for (const { name, read } of files) {
        try {
          const photo = await readPhoto(await read(), name);
          // The service decides what it can read. Its answer is kept for the view of nearest photographs.
          await answersOf(embedProgram(photo, settings), AbortSignal.timeout(120_000));
          setShown((before) => withPhoto(before, photo));
        } catch (cause) {
          notices += 1;
          const notice = { id: notices, name, error: asApiError(cause) };
          setRefused((before) => [...before, notice]);
        }
        setReading((names) => {
          const at = names.indexOf(name);
          return names.filter((_, i) => i !== at);
        });
      }
    },
    [settings],
  );
  const onFiles = useCallback(
    (files: readonly File[]) => void add(files.map((file) => ({ name: file.name, read: async () => file }))),
    [add],
  );
  const onSamples = useCallback(
    (samples: readonly Sample[]) =>
      void add(samples.map(({ file }) => ({ name: file, read: async () => (await send(`photos/${file}`)).blob() }))),
    [add],
  );
  const onPlace = (place: 0 | 1, photo: Photo | undefined) =>
    setShown((before) => {
      const { a, b } = before;
      if (place === 0) return { ...before, a: photo, b: photo === b ? (a === photo ? b : a) : b };
      return { ...before, b: photo === a ? undefined : photo, ...(photo === a && b && { a: b, b: photo }) };
    });
  const onRemove = (photo: Photo) =>
    setShown(({ photos, a, b }) => {
      const left = photos.filter((each) => each !== photo);
      const first = a === photo ? (b ?? left[0]) : a;
      return { photos: left, a: first, b: b === photo || b === first ? undefined : b };
    });

  const { photos, a, b } = shown;
  const props = useMemo(() => a && { a, b, settings, model }, [a, b, settings, model]);
  const denied = unreachable?.status === 401;
  return (
    <SessionContext.Provider value={session}>
      <header>
        <h1>
          vicregl <span>looking glass</span>
        </h1>
        {served && (
          <p class="model">
            {served.model.name} <span>version {served.model.version}</span>
            <span>{served.architecture}</span>
            <span>{served.provider}</span>
          </p>
        )}
      </header>
      <main>
        {denied && (
          <TokenForm
            message={unreachable.message}
            onToken={(token) => {
              setToken(token);
              session.renew();
            }}
          />
        )}
        {unreachable && !denied && (
          <div class="problem" role="alert">
            <strong>The service cannot be asked.</strong> {unreachable.message}
            <button type="button" onClick={session.renew}>
              Try again
            </button>
          </div>
        )}
        <PhotoBar {...{ photos, a, b, reading, onFiles, onSamples, onPlace, onRemove }} />
        {refused.map(({ id, name, error }) => (
          <div class="problem" role="alert" key={id}>
            <strong>{name} was refused.</strong> {error.message}
            {error.reason !== undefined && <code>{error.reason}</code>}
            <button
              type="button"
              aria-label={`Close the message about ${name}`}
              onClick={() => setRefused((before) => before.filter((notice) => notice.id !== id))}
            >
              Close
            </button>
          </div>
        ))}
        <Tabs tabs={VIEWS} chosen={view} onChoose={setView} label="Views">
          {view !== 'live' && view !== 'nearest' && a && (
            <SettingsBar {...{ settings, models: models ?? [], model, onSettings: setSettings }} />
          )}
          {view === 'live' ? (
            <LiveView />
          ) : !props ? (
            <p class="empty">Add a photograph to see what the model sees in it.</p>
          ) : view === 'components' ? (
            <ComponentsView {...props} />
          ) : view === 'similarity' ? (
            <SimilarityView {...props} />
          ) : view === 'norms' ? (
            <NormsView {...props} />
          ) : view === 'nearest' ? (
            <NearestView a={props.a} photos={photos} settings={settings} />
          ) : (
            <MatchesView {...props} />
          )}
        </Tabs>
      </main>
      <footer>
        Nothing leaves this page but requests to the service that served it. Bundled photographs: Rachel Michetti and
        Stefan van der Walt (CC0), NASA (public domain).
      </footer>
    </SessionContext.Provider>
  );
}
