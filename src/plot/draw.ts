import type { TopLevelSpec } from 'vega-lite';
import { theme } from './theme.js';

/**
 * Draws a plot as SVG, with the theme of all plots. Equal specifications give equal bytes, if no mark is clipped: ids of
 * clip paths count on over all pictures of a process.
 */
export async function drawPlot(spec: TopLevelSpec): Promise<string> {
  // Imported lazily: loading the charting library takes time that only drawing needs.
  const [{ parse, View }, { compile }] = await Promise.all([import('vega'), import('vega-lite')]);
  const view = new View(parse(compile({ ...spec, config: theme }).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
