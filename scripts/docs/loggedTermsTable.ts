import { LOGGED_TERMS, PANELS } from '../../src/train/loggedTerms.js';
import { markdownTable, withGenerated } from './generatedPart.js';

/** docs/method.md with the table of the terms that a run logs. @throws Error if the markers are missing. */
export function withLoggedTerms(document: string): string {
  const rows = Object.entries(LOGGED_TERMS).map(([name, { panel, what }]) => [
    `\`${name}\``,
    what,
    panel === undefined ? '' : PANELS[panel].title,
  ]);
  return withGenerated(document, 'logged terms', markdownTable(['name', 'what', 'panel of the curves'], rows));
}
