import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export interface Series {
  readonly label: string;
  readonly values: readonly (number | null)[];
  /** Place among the colours: the same line has the same place in every chart. */
  readonly place: number;
}

/** A value to compare the lines with. */
export interface ReferenceLine {
  readonly label: string;
  readonly value: number;
  readonly place: number;
}

interface ChartProps {
  readonly title: string;
  readonly hint?: string | undefined;
  readonly x: readonly number[];
  readonly series: readonly Series[];
  readonly references?: readonly ReferenceLine[];
  /** Whether the value axis begins at zero. */
  readonly zero?: boolean;
  readonly xLabel: string;
  /** Charts with the same key move their cursors together. */
  readonly sync: string;
}

const COLOURS = 7;
/** Rounds through the colours differ by dashes. */
const DASHES = [[], [6, 3], [2, 2]] as const;
const HEIGHT = 200;

export const colourOf = (place: number): string => `var(--line-${(place % COLOURS) + 1})`;

/** Four significant digits, without a long tail of zeros. */
export const figure = (value: number | null | undefined): string =>
  value === null || value === undefined || !Number.isFinite(value) ? '' : String(Number(value.toPrecision(4)));

function resolved(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Calls back when the browser changes between light and dark. */
function useScheme(): string {
  const [scheme, setScheme] = useState('');
  useEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const change = () => setScheme(query.matches ? 'dark' : 'light');
    change();
    query.addEventListener('change', change);
    return () => query.removeEventListener('change', change);
  }, []);
  return scheme;
}

/** The value axis: from zero where asked and possible, and never empty. */
function rangeFor(low: number | null, high: number | null, zero: boolean): [number, number] {
  if (low === null || high === null) return [0, 1];
  const [from, to] = zero ? [Math.min(0, low), Math.max(0, high)] : [low, high];
  if (from === to) return zero ? [0, 1] : [from - Math.abs(from || 1) * 0.1, to + Math.abs(to || 1) * 0.1];
  const pad = (to - from) * 0.06;
  return [zero && from === 0 ? 0 : from - pad, to + pad];
}

/** Whether a line has so few values that only points show them. */
const sparse = ({ data }: uPlot, row: number): boolean =>
  Array.from(data[row]!).filter((value) => typeof value === 'number').length < 3;

type Rows = [number[], ...(number | null)[][]];

function rowsOf({ x, series, references = [] }: Pick<ChartProps, 'x' | 'series' | 'references'>): Rows {
  return [[...x], ...series.map(({ values }) => [...values]), ...references.map(({ value }) => x.map(() => value))];
}

/** Draws other rows. Steps that the user has zoomed to stay in view, unless no row has them any more. */
function redraw(plot: uPlot, rows: Rows): void {
  const [[before], [x]] = [plot.data, rows];
  const { min = null, max = null } = plot.scales['x']!;
  const zoomed = before.length > 1 && (min !== before[0] || max !== before.at(-1));
  if (!zoomed || min === null || max === null || !x.some((value) => value >= min && value <= max)) {
    plot.setData(rows);
    return;
  }
  plot.setData(rows, false);
  plot.setScale('x', { min, max });
}

/** Lines over a common axis. The legend gives the values at the cursor, or the last ones. */
export function Chart(props: ChartProps) {
  const { title, hint, x, series, references = [], zero = false, xLabel, sync } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [index, setIndex] = useState<number | undefined>(undefined);
  const scheme = useScheme();
  const shape = JSON.stringify([series.map(({ label, place: at }) => [label, at]), references, zero, xLabel, sync]);
  // The shape stands for what the plot is made of.
  useEffect(() => {
    if (scheme === '') return undefined;
    const [text, grid] = [resolved('--muted'), resolved('--rule')];
    const axis = {
      stroke: text,
      grid: { stroke: grid, width: 1 },
      ticks: { stroke: grid, width: 1 },
      font: '12px system-ui',
    };
    const made = new uPlot(
      {
        width: place.current!.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { sync: { key: sync }, points: { size: 6 } },
        scales: {
          x: { time: false },
          y: { range: (_, low, high) => rangeFor(low, high, zero) },
        },
        axes: [
          { ...axis, size: 32 },
          { ...axis, size: 60, values: (_, ticks) => ticks.map(figure) },
        ],
        series: [
          {},
          ...series.map(({ place: at }) => ({
            stroke: resolved(`--line-${(at % COLOURS) + 1}`),
            width: 1.6,
            dash: [...DASHES[Math.floor(at / COLOURS) % DASHES.length]!],
            spanGaps: true,
            // A line of one point would not be seen.
            points: { show: sparse },
          })),
          ...references.map(({ place: at }) => ({
            stroke: resolved(`--line-${(at % COLOURS) + 1}`),
            width: 1,
            dash: [3, 4],
            points: { show: false },
          })),
        ],
        hooks: { setCursor: [({ cursor: { idx } }) => setIndex(idx ?? undefined)] },
      },
      rowsOf(props),
      place.current!,
    );
    plot.current = made;
    const observer = new ResizeObserver(([entry]) => made.setSize({ width: entry!.contentRect.width, height: HEIGHT }));
    observer.observe(place.current!);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [shape, scheme]);
  // The shape stands for the references.
  useEffect(() => {
    if (plot.current) redraw(plot.current, rowsOf(props));
  }, [x, series, shape]);
  const at = index ?? x.length - 1;
  const shownValue = ({ values }: Series): string => {
    if (index !== undefined) return figure(values[at]);
    return figure(values.findLast((value) => value !== null));
  };
  const last = series.map((each) => `${each.label} ${shownValue(each)}`).join(', ');
  return (
    <figure class="chart">
      <figcaption>
        <strong>{title}</strong>
        {hint && <span class="hint">{hint}</span>}
      </figcaption>
      <div ref={place} role="img" aria-label={`${title} over ${xLabel}; last values: ${last}`} />
      <ul class="lines">
        {series.map((each) => (
          <li key={each.label}>
            <span
              class={`swatch dash-${Math.floor(each.place / COLOURS) % DASHES.length}`}
              style={{ borderColor: colourOf(each.place) }}
            />
            {each.label} <span class="number">{shownValue(each)}</span>
          </li>
        ))}
        {references.map(({ label, value, place: where }) => (
          <li key={label} class="hint">
            <span class="swatch dash-2" style={{ borderColor: colourOf(where) }} />
            {label} <span class="number">{figure(value)}</span>
          </li>
        ))}
        <li class="hint">
          {xLabel} <span class="number">{figure(x[at])}</span>
        </li>
      </ul>
    </figure>
  );
}
