import type { TopLevelSpec } from 'vega-lite';
import { seriesStyle } from '../../plot/theme.js';
import { printable } from '../printable.js';
import type { Unit } from '../report.js';

/** What all plots of reports share: titles, series, axes. */

/** Title, and what was measured on what. */
export interface PlotTitle {
  readonly title: string;
  readonly about: string;
}

/** Width of a panel in pixels. */
export const PANEL_WIDTH = 460;
const TITLE_CHARACTERS = 70;
const ABOUT_CHARACTERS = 88;
const LABEL_CHARACTERS = 40;
const MAX_ABOUT_LINES = 4;

/** Lines of at most so many characters, broken at spaces where there are some. */
function wrapped(text: string, characters: number): string[] {
  const lines: string[] = [];
  for (let word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= characters) {
      lines[lines.length - 1] = `${last} ${word}`;
      continue;
    }
    for (; word.length > characters; word = word.slice(characters)) lines.push(word.slice(0, characters));
    lines.push(word);
  }
  return lines;
}

/** A name that fits beside a plot: the middle of a long one is left out, since names often differ at their ends. */
export function plotLabel(name: string): string {
  const characters = [...printable(name)];
  if (characters.length <= LABEL_CHARACTERS) return characters.join('');
  const half = (LABEL_CHARACTERS - 1) / 2;
  return `${characters.slice(0, Math.ceil(half)).join('')}\u2026${characters.slice(-Math.floor(half)).join('')}`;
}

/** Distinct labels of distinct names, in their order. */
export function plotLabels(names: readonly string[]): string[] {
  const labels = names.map(plotLabel);
  return labels.map((label, i) => (labels.indexOf(label) === i ? label : `${label} (${i + 1})`));
}

/** The parts of a specification that all plots have. */
export function frame({ title, about }: PlotTitle): Pick<TopLevelSpec, '$schema' | 'title'> {
  const lines = wrapped(printable(about), ABOUT_CHARACTERS);
  const subtitle =
    lines.length <= MAX_ABOUT_LINES
      ? lines
      : [...lines.slice(0, MAX_ABOUT_LINES - 1), `${lines[MAX_ABOUT_LINES - 1]} \u2026`];
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: { text: wrapped(printable(title), TITLE_CHARACTERS), subtitle },
  };
}

/** Scales of the channels that tell series apart, in the order of their labels. */
export function seriesScales(labels: readonly string[]) {
  const styles = labels.map((_, i) => seriesStyle(i));
  const domain = [...labels];
  return {
    color: { domain, range: styles.map(({ colour }) => colour) },
    dash: { domain, range: styles.map(({ dash }) => [...dash]) },
    shape: { domain, range: styles.map(({ shape }) => shape) },
  };
}

/** As plots show it: shares in per cent. */
export const plotted = (value: number, unit: Unit): number => (unit === 'share' ? value * 100 : value);

/**
 * The scale of a quantity. Equal values have no extent of their own: Vega would label them with six digits after the point.
 * @param values as plotted, the ends of intervals among them.
 */
export function valueScale(values: readonly (number | null | undefined)[]) {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (typeof value !== 'number') continue;
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  const margin = Math.abs(least) / 10 || 1;
  return { zero: false, ...(least === most && { domain: [least === 0 ? 0 : least - margin, least + margin] }) };
}

/** What stands after a quantity on an axis. */
export const UNIT_LABELS: Readonly<Record<Unit, string>> = { share: ', %', pixels: ', pixels', number: '' };
