import pLimit from 'p-limit';
import type { Logger } from 'pino';
import type { Engine } from '../../../engine/engine.js';
import { fileProblem } from '../../../files/fileProblem.js';
import { ServeError } from '../../call/serveError.js';
import { type ModelRegistry, type ModelSource, modelLabel } from '../../inference/registry.js';
import { type ModelVersion, type ScannedDir, scanModelDir } from './scan.js';

/** Counts and states for the metrics. */
export interface ModelDirStatus {
  /** Whether the last poll could read the directory and found models in it. */
  readonly readable: boolean;
  /** Versions that lie in the directory and cannot be served. */
  readonly refused: readonly Pick<ModelVersion, 'name' | 'version'>[];
  /** Versions that were refused so far; one whose files have changed counts again. */
  readonly refusals: number;
}

export interface ModelDirOptions {
  /** Path of the models directory. */
  readonly dir: string;
  /** Verifies a model folder and starts an engine on it. @throws ModelFolderError or EngineError */
  readonly open: (dir: string) => Promise<Engine>;
  /** Warms up an engine that is not served yet. */
  readonly warm: (engine: Engine) => Promise<void>;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** `name@version` of the models that are served besides those of the directory. */
  readonly taken?: readonly string[];
  /** Lists the directory; default: the file system. */
  readonly scan?: (dir: string) => Promise<ScannedDir>;
}

/** The models of a directory, of which each is served in its highest version that works. */
export interface ModelDir {
  /** The models at the start, by name. */
  readonly sources: readonly ModelSource[];
  readonly status: ModelDirStatus;
  /** Labels and names of the models that come from the directory. */
  readonly names: readonly string[];
  /** Looks at the directory in intervals from now on, each measured from the end of the last look by a monotonic clock. */
  start(registry: DirRegistry, intervalMs: number): void;
  /** Looks at the directory now, as at each interval. */
  poll(): Promise<void>;
  /**
   * Looks at the directory now. Each model is opened again also if nothing has changed, in its highest version that works; versions that were
   * refused are tried again too.
   * @param model one of `names`: looks at this model alone
   * @returns the models that are served from it
   * @throws ServeError naming what was refused, that the directory cannot be read, or that the folder of the default model is gone; what
   *   could be reloaded is
   */
  reload(model?: string): Promise<string>;
  /** Ends the polling. */
  stop(): void;
}

type DirRegistry = Pick<ModelRegistry, 'served' | 'reload' | 'add' | 'remove'>;

interface Refusal {
  readonly version: Pick<ModelVersion, 'name' | 'version' | 'signature'>;
  readonly message: string;
  /** Whether it was logged and counted: a folder that is still being written gets time until the next look. */
  named: boolean;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Opens a version, whose manifest has to have the name and version of its folders. */
async function openVersion({ name, version, dir }: ModelVersion, open: ModelDirOptions['open']): Promise<Engine> {
  const engine = await open(dir);
  const { manifest } = engine;
  if (manifest.name === name && manifest.version === version) return engine;
  await engine.close();
  throw new ServeError(
    'invalid_argument',
    `the manifest in ${dir} is of ${manifest.name}@${manifest.version}; folder and manifest must agree: export it with --model-version ${version} to a folder named ${name}, and rename that to ${version}`,
  );
}

/**
 * Opens the models of a directory.
 * @throws ServeError `invalid_argument` if it cannot be read, no model in it works, or one is `taken`; engines that were opened are closed
 *   then.
 */
export async function openModelDir(options: ModelDirOptions): Promise<ModelDir> {
  const { dir, open, warm, logger, taken = [], scan = scanModelDir } = options;
  const served = new Map<string, ModelVersion>();
  const refusals = new Map<string, Refusal>();
  const oneAtATime = pLimit(1);
  let counted = 0;
  let readable = true;
  /** Why the directory could not be used at the last look. */
  let problem = '';
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let registry: DirRegistry | undefined;
  /** Models without a folder that stay, so that each is logged once. */
  const kept = new Set<string>();

  const labelOf = ({ name, version }: Pick<ModelVersion, 'name' | 'version'>): string => `${name}@${version}`;
  const namesOf = (version: ModelVersion): string[] => [version.name, labelOf(version)];
  const keyOf = ({ name, version }: Pick<ModelVersion, 'name' | 'version'>): string => `${name}/${version}`;

  /** Notes that a version does not work. It is named in the log and counted once, when its files no longer change. */
  function refuse(version: Refusal['version'], message: string, name: boolean): void {
    const known = refusals.get(keyOf(version));
    // Tried again by a reload: it has stayed refused all the time.
    const before = known?.version.signature === version.signature && known.named;
    refusals.set(keyOf(version), { version, message, named: before || name });
    if (before || !name) return;
    counted++;
    const facts = { model: version.name, version: version.version, reason: message };
    logger.error(facts, 'this version of a model is refused, and tried again when its files change');
  }

  /** Whether a version was refused and has not changed. */
  function isRefused(version: ModelVersion): boolean {
    const known = refusals.get(keyOf(version));
    if (known?.version.signature !== version.signature) return false;
    if (!known.named) refuse(version, known.message, true);
    return true;
  }

  /**
   * Divides the versions of a model, the highest first, at the served one. To try are all above it, and the served one itself if its
   * files have changed or at a reload; the others only if the folder of the served one is gone: damage of its files does not touch what is
   * loaded.
   */
  function divided(name: string, versions: readonly ModelVersion[], again: boolean) {
    const current = served.get(name);
    const place = versions.findIndex(({ version }) => version === current?.version);
    const isChanged = again || versions[place]?.signature !== current?.signature;
    const end = place < 0 ? versions.length : isChanged ? place + 1 : place;
    return { toTry: versions.slice(0, end), superseded: versions.slice(end) };
  }

  async function serve(version: ModelVersion): Promise<void> {
    const { name } = version;
    const before = served.get(name);
    const reopen = () => openVersion(version, open);
    if (before === undefined) await registry!.add(reopen);
    else await registry!.reload(`${name}@${before.version}`, reopen);
    served.set(name, version);
    refusals.delete(keyOf(version));
    const facts = { model: name, version: version.version, ...(before && { before: before.version }) };
    logger.info(facts, 'a version from the models directory is served');
  }

  /** Removes models whose folder is gone; the default model stays. */
  function removeGone(found: ScannedDir, only: string | undefined): void {
    for (const [name, { version }] of served) {
      if (only !== undefined && name !== only) continue;
      if (found.models.has(name)) {
        kept.delete(name);
        continue;
      }
      const label = `${name}@${version}`;
      if (modelLabel(registry!.served[0]!) === label) {
        if (!kept.has(name)) logger.warn({ model: name, version }, 'the folder of the default model is gone; it stays');
        kept.add(name);
        continue;
      }
      registry!.remove(label);
      served.delete(name);
      logger.info({ model: name, version }, 'the folder of the model is gone; it is no longer served');
    }
  }

  /** @returns undefined if the directory cannot be read or is empty, as a volume that is not mounted; loaded models stay then */
  async function look(): Promise<ScannedDir | undefined> {
    problem = 'it holds no NAME/VERSION/manifest.json';
    const found = await scan(dir).catch((error: unknown) => {
      problem = fileProblem(error);
      return undefined;
    });
    const usable = found !== undefined && found.models.size > 0;
    if (!usable && readable && registry !== undefined)
      logger.error({ dir, reason: problem }, 'the models directory is gone; loaded models stay');
    if (usable && !readable) logger.info({ dir }, 'the models directory is there again');
    readable = usable;
    if (found === undefined) return undefined;
    for (const name of found.misplaced) {
      const version = { name, version: '', signature: '' };
      if (refusals.has(keyOf(version))) continue;
      refuse(version, `${name}/manifest.json lies beside the versions; move the model to ${name}/VERSION/`, true);
    }
    return usable ? found : undefined;
  }

  /**
   * @param again tries also versions that were refused, or are served, and have not changed
   * @param only the name of the only model to look at
   */
  async function poll(again = false, only?: string): Promise<void> {
    const found = await look();
    if (found === undefined) return;
    for (const [name, versions] of found.models) {
      if (only !== undefined && name !== only) continue;
      for (const version of divided(name, versions, again).toTry) {
        if (stopped) return;
        if (!again && isRefused(version)) continue;
        try {
          await serve(version);
          break;
        } catch (error) {
          if (error instanceof ServeError && error.code === 'shutting_down') return;
          refuse(version, messageOf(error), false);
        }
      }
    }
    // Refusals of versions that the served one has superseded no longer matter.
    for (const [name, versions] of found.models) {
      for (const each of divided(name, versions, again).superseded) refusals.delete(keyOf(each));
    }
    const present = new Set([...found.models.values()].flat().map(keyOf));
    for (const name of found.misplaced) present.add(keyOf({ name, version: '' }));
    for (const key of refusals.keys()) if (!present.has(key)) refusals.delete(key);
    removeGone(found, only);
  }

  function schedule(intervalMs: number): void {
    if (stopped) return;
    timer = setTimeout(() => {
      void oneAtATime(() => poll())
        .catch((error: unknown) => logger.error({ err: error }, 'the models directory could not be polled'))
        .finally(() => schedule(intervalMs));
    }, intervalMs);
    timer.unref();
  }

  const namedRefusals = (): string[] =>
    [...refusals].flatMap(([key, { named, message }]) => (named ? [`${key}: ${message}`] : []));

  const sources: ModelSource[] = [];
  try {
    const found = await look();
    for (const [name, versions] of found?.models ?? []) {
      for (const version of versions) {
        if (taken.includes(labelOf(version))) {
          throw new ServeError(
            'invalid_argument',
            `model: ${labelOf(version)} is given twice, by model and by ${version.dir} of modelDir; serve it by one of them`,
          );
        }
        const reopen = () => openVersion(version, open);
        let engine: Engine | undefined;
        try {
          engine = await reopen();
          await warm(engine);
        } catch (error) {
          await engine?.close();
          // A version that does not work at the start is named at once: there is nothing before it that could be served meanwhile.
          refuse(version, messageOf(error), true);
          continue;
        }
        sources.push({ engine, reopen });
        served.set(name, version);
        break;
      }
    }
  } catch (error) {
    await Promise.all(sources.map(({ engine }) => engine.close()));
    throw error;
  }
  if (sources.length === 0) {
    const reasons = namedRefusals().join('; ') || problem;
    throw new ServeError('invalid_argument', `modelDir: ${dir} has no model that can be served: ${reasons}`);
  }

  return {
    sources,
    get status() {
      const refused = [...refusals.values()].flatMap(({ version: { name, version }, named }) =>
        named ? [{ name, version }] : [],
      );
      return { readable, refused, refusals: counted };
    },
    get names() {
      return [...served.values()].flatMap(namesOf);
    },
    start(given, intervalMs) {
      registry = given;
      schedule(intervalMs);
    },
    poll: () => oneAtATime(() => poll()),
    async reload(model) {
      const named = [...served.values()].find((each) => model !== undefined && namesOf(each).includes(model));
      const only = named?.name ?? model;
      const isMeant = ({ name }: { readonly name: string }): boolean => only === undefined || name === only;
      await oneAtATime(() => poll(true, only));
      // What failed at this look is not being written, as the operator has asked for it.
      const failed = [...refusals].flatMap(([key, { version, message }]) =>
        isMeant(version) ? [`${key}: ${message}`] : [],
      );
      const gone = [...kept].find((name) => isMeant({ name }));
      if (!readable) throw new ServeError('invalid_argument', `modelDir: ${dir} cannot be used: ${problem}`);
      if (failed.length > 0) throw new ServeError('invalid_argument', `modelDir: refused ${failed.join('; ')}`);
      if (gone !== undefined)
        throw new ServeError(
          'invalid_argument',
          `modelDir: the folder of the default model ${gone} is gone; it stays loaded`,
        );
      const labels = [...served.values()].filter(isMeant).map(labelOf);
      return labels.join(', ') || `${only} is gone, and no longer served`;
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
