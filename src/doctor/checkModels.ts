import { type ModelFolder, openModelFolder } from '../models/folder.js';
import { error, type Finding, lineOf, ok, size, warning } from './finding.js';

const CHECK = 'models';

/** A models directory: what it holds. */
export interface ModelDirFacts {
  readonly dir: string;
  /** Why it cannot be read. */
  readonly problem?: string;
  /** Its models, each with its versions, the highest first. */
  readonly models: readonly {
    readonly name: string;
    readonly versions: readonly { readonly version: string; readonly dir: string }[];
  }[];
  /** Names of model folders that lie beside the versions. */
  readonly misplaced: readonly string[];
}

const labelOf = ({ manifest }: ModelFolder): string => `${manifest.name}@${manifest.version}`;

function asListed(folder: ModelFolder): Finding {
  const files = Object.values(folder.manifest.files);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return ok(CHECK, `${labelOf(folder)}: ${files.length} files, ${size(bytes)}, as listed: ${folder.dir}`);
}

const twice = (label: string, where: string): Error =>
  new Error(`${label} is given twice, at last by ${where}: name each model once, or give one another version`);

const LOOK =
  '"npx vicregl models list" shows what is there, and "npx vicregl models verify" checks the outputs of a folder, too.';

const notServed = (what: string, why: unknown): Finding =>
  error(CHECK, `${what} cannot be served`, `${lineOf(why)}. The service does not start with it. ${LOOK}`);

type ModelFacts = ModelDirFacts['models'][number];

/**
 * The findings of one model of a directory: of its highest version that can be served, and of those above it, of which the service
 * refuses each.
 */
async function checkVersions(
  { name, versions }: ModelFacts,
  taken: readonly string[],
): Promise<{ readonly found?: Finding; readonly refused: Finding[] }> {
  const broken: { readonly version: string; readonly why: string }[] = [];
  const refusedFor = (instead: string): Finding[] =>
    broken.map(({ version, why }) =>
      warning(CHECK, `${name}/${version} cannot be served`, `${why}. ${instead} ${LOOK}`),
    );
  for (const { version, dir } of versions) {
    const label = `${name}@${version}`;
    const refused = refusedFor(`Version ${version} is served in its place.`);
    if (taken.includes(label)) return { found: notServed(label, twice(label, dir)), refused };
    try {
      const folder = await openModelFolder(dir);
      if (labelOf(folder) === label) return { found: asListed(folder), refused };
      broken.push({ version, why: `the manifest in ${dir} is of ${labelOf(folder)}, not of ${label}` });
    } catch (thrown) {
      broken.push({ version, why: lineOf(thrown) });
    }
  }
  return { refused: refusedFor(`No version of ${name} is served.`) };
}

/**
 * Whether the service finds a version of each model of a directory that it can serve; one model is enough for it to start.
 * @param taken labels of the models that are served besides
 */
async function checkModelDir(
  { dir, problem, models, misplaced }: ModelDirFacts,
  taken: readonly string[],
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const refused: Finding[] = [];
  for (const model of models) {
    const result = await checkVersions(model, taken);
    if (result.found) findings.push(result.found);
    refused.push(...result.refused);
  }
  for (const name of misplaced) {
    const advice = `It lies beside the versions: move the model to ${name}/VERSION/ in ${dir}.`;
    refused.push(warning(CHECK, `${name}/manifest.json cannot be served`, advice));
  }
  if (findings.length === 0) {
    const reason =
      problem ?? (models.length > 0 ? 'every version is refused' : 'it holds no NAME/VERSION/manifest.json');
    const advice = `${reason}. The service does not start with it (modelDir). Copy or export a model to NAME/VERSION/ in it.`;
    findings.push(error(CHECK, `${dir} has no model that can be served`, advice));
  }
  return [...findings, ...refused];
}

/**
 * Whether the files of the configured models are those of their manifests, by size and sha256.
 * @param find the folder of a model by path or name
 */
export async function checkModels(
  names: readonly string[],
  find: (name: string) => Promise<string>,
  modelDir?: ModelDirFacts,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const labels: string[] = [];
  for (const name of names) {
    try {
      const folder = await openModelFolder(await find(name));
      if (labels.includes(labelOf(folder))) throw twice(labelOf(folder), folder.dir);
      labels.push(labelOf(folder));
      findings.push(asListed(folder));
    } catch (thrown) {
      findings.push(notServed(name, thrown));
    }
  }
  return modelDir === undefined ? findings : [...findings, ...(await checkModelDir(modelDir, labels))];
}
