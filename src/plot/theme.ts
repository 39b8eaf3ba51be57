import type { Config } from 'vega-lite';

/** How all plots look. Sizes are in pixels of the SVG. */

/**
 * Colours that people with any kind of colour vision can tell apart (Okabe and Ito, Color Universal Design), without yellow,
 * which is too pale for lines on white.
 */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'] as const;
/** Second and third rounds through the colours differ by dashes and shapes. */
const DASHES = [
  [1, 0],
  [6, 3],
  [2, 2],
] as const;
const SHAPES = ['circle', 'square', 'triangle-up'] as const;

export interface SeriesStyle {
  readonly colour: string;
  readonly dash: readonly number[];
  readonly shape: string;
}

/** Distinct styles for up to 21 series; then they repeat. */
export function seriesStyle(index: number): SeriesStyle {
  const round = Math.floor(index / COLOURS.length);
  return {
    colour: COLOURS[index % COLOURS.length]!,
    dash: DASHES[round % DASHES.length]!,
    shape: SHAPES[round % SHAPES.length]!,
  };
}

/** The bundled font (src/image/svg.ts), and what browsers without it have. */
const FONT = 'DejaVu Sans, Verdana, sans-serif';
const GREY = '#555555';

/** Configuration of every plot. */
export const theme: Config = {
  background: 'white',
  // Pages describe a picture as a whole; descriptions of every mark would be most of its bytes.
  aria: false,
  font: FONT,
  padding: 12,
  view: { stroke: null },
  range: { category: [...COLOURS] },
  title: { anchor: 'start', fontSize: 15, fontWeight: 'bold', subtitleFontSize: 12, subtitleColor: GREY, offset: 14 },
  axis: {
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    titleColor: GREY,
    labelLimit: 0,
    gridColor: '#e5e5e5',
    domainColor: '#888888',
    tickColor: '#888888',
  },
  legend: { labelFontSize: 12, titleFontSize: 12, labelLimit: 0, symbolSize: 80, symbolStrokeWidth: 2 },
};
