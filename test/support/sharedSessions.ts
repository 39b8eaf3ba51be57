import { createHash } from 'node:crypto';
import { InferenceSession } from '../../src/onnx/runtime.js';

/**
 * Imported for its side effect by tests that open the same graphs repeatedly. Within a test file, each graph is opened once per
 * set of options. For a training step, opening the graph takes longer than the steps. Every caller still gets its own session
 * object, which cannot be used after its release and cannot be released twice.
 */

type Options = InferenceSession.SessionOptions;

const opened = new Map<string, Promise<InferenceSession>>();
const open = InferenceSession.create.bind(InferenceSession) as (
  model: Uint8Array | string,
  options?: Options,
) => Promise<InferenceSession>;

/** A session object that shares its ONNX Runtime session with others. */
function lent(shared: InferenceSession): InferenceSession {
  let released = false;
  const session = Object.create(shared) as InferenceSession;
  const mustBeOpen = (): void => {
    if (released) throw new Error('the session was released before');
  };
  session.run = (async (...args: Parameters<InferenceSession['run']>) => {
    mustBeOpen();
    return shared.run(...args);
  }) as InferenceSession['run'];
  session.release = async () => {
    mustBeOpen();
    released = true;
  };
  return session;
}

InferenceSession.create = (async (model: Uint8Array | string, options?: Options) => {
  // Graphs given as files are not shared: the file, or weights beside it, may change.
  if (typeof model === 'string' || options?.externalData !== undefined) return open(model, options);
  const key = createHash('sha256').update(model).update(JSON.stringify(options)).digest('hex');
  let session = opened.get(key);
  if (session === undefined) {
    session = open(model, options);
    opened.set(key, session);
  }
  return lent(await session);
}) as typeof InferenceSession.create;
