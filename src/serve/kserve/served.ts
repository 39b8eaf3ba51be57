import { quoted } from '../call/quoted.js';
import { ServeError } from '../call/serveError.js';
import { type ModelRegistry, modelLabel, type ServedModel } from '../inference/registry.js';

/** The models as the Open Inference Protocol names them: by a name and a version. */

type Served = Pick<ModelRegistry, 'served'>;

/**
 * The model of a name and a version. An empty name is the default model, an empty version the first one that is served under the
 * name, as in our own requests.
 * @param fields names of the two fields in the request, for errors
 * @throws ServeError `unknown_model` naming what is served.
 */
export function findModel(
  { served }: Served,
  name: string,
  version: string,
  fields: { readonly name: string; readonly version: string },
): ServedModel {
  const wanted = name === '' ? served[0]!.engine.manifest.name : name;
  const named = served.filter(({ engine }) => engine.manifest.name === wanted);
  const found = version === '' ? named[0] : named.find(({ engine }) => engine.manifest.version === version);
  if (found) return found;
  const list = served.map(({ engine: { manifest } }) => `"${manifest.name}" version "${manifest.version}"`).join(', ');
  const wrong =
    named.length === 0
      ? `${fields.name}: ${quoted(name)} is not served here`
      : `${fields.version}: ${quoted(version)} of "${wanted}" is not served here`;
  throw new ServeError('unknown_model', `${wrong}; served: ${list}. An empty version means the served one`);
}

/** The versions that are served under a name, in the order of the models. */
export function versionsOf({ served }: Served, name: string): string[] {
  return served.flatMap(({ engine: { manifest } }) => (manifest.name === name ? [manifest.version] : []));
}

/** Whether models are serving: by the health that grpc.health.v1 reports too. */
export interface ServingState {
  /** @param name `name@version`, or '' for the whole service */
  isServing(name: string): boolean;
}

/** Whether a model is serving. */
export function isReady(state: ServingState, model: Pick<ServedModel, 'engine'>): boolean {
  return state.isServing(modelLabel(model));
}
