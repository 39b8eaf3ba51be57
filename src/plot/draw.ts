import type { TopLevelSpec } from 'vega-lite';
import { textWidth } from './textWidth.js';
import { theme } from './theme.js';

/** A text of a scene, as Vega measures it. */
interface TextItem {
  readonly fontSize?: number;
  readonly fontWeight?: string | number;
}

/** Vega's text measurement, which its types leave out. */
interface TextMetrics {
  width: (item: TextItem, text: unknown) => number;
}

const DEFAULT_FONT_SIZE = 11;

/** The charting library, which takes time to load that only drawing needs. */
async function loadVega() {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')]);
  const { textMetrics } = vega as unknown as { readonly textMetrics: TextMetrics };
  textMetrics.width = ({ fontSize = DEFAULT_FONT_SIZE, fontWeight }, text) =>
    textWidth(String(text ?? ''), fontSize, fontWeight === 'bold' || Number(fontWeight) >= 600);
  return { parse: vega.parse, View: vega.View, compile };
}

/**
 * Draws a plot as SVG, with the theme of all plots. Equal specifications give equal bytes, if no mark is clipped: ids of
 * clip paths count on over all pictures of a process.
 */
export async function drawPlot(spec: TopLevelSpec): Promise<string> {
  const { parse, View, compile } = await loadVega();
  const view = new View(parse(compile({ ...spec, config: theme }).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
