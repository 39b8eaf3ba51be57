import type { SessionConfig } from '../onnx/session.js';
import type { Manifest } from './manifest.js';

/** What a session of a model's graphs must know of their arithmetic. */
export function arithmeticOf(compute: Manifest['compute']): Pick<SessionConfig, 'wideSums'> {
  return { wideSums: compute === 'float16' };
}
