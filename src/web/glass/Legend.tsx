import { SCALE } from './colours.js';

interface LegendProps {
  readonly range: readonly [number, number];
  readonly label: string;
}

/** The scale of a heat map. */
export function Legend({ range, label }: LegendProps) {
  const [low, high] = range.map((value) => Number(value.toPrecision(3)));
  return (
    <div class="legend">
      <span>{label}</span>
      <span>{low}</span>
      <span class="scale" style={{ backgroundImage: SCALE }} />
      <span>{high}</span>
    </div>
  );
}
