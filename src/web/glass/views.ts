import type { ModelJson } from './messages.js';
import type { Photo } from './photo.js';
import type { Settings } from './settings.js';

/** What every view of photographs receives. */
export interface ViewProps {
  readonly a: Photo;
  readonly b: Photo | undefined;
  readonly settings: Settings;
  /** Undefined until the service has described it. */
  readonly model: ModelJson | undefined;
}
