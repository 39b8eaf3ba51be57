import { useMemo, useState } from 'preact/hooks';
import { CopyAs } from './CopyAs.js';
import { heatColours } from './colours.js';
import { Legend } from './Legend.js';
import { MapPanels, type PhotoCell } from './MapPanels.js';
import { Opacity } from './Opacity.js';
import { Problem } from './Problem.js';
import { rangeOf, similarities } from './tensor.js';
import { useMaps } from './useMaps.js';
import type { ViewProps } from './views.js';

/** How similar all cells are to one. */
export function SimilarityView(props: ViewProps) {
  const { a, b } = props;
  const { program, maps, error, loading } = useMaps(props);
  const [opacity, setOpacity] = useState(0.7);
  const [asked, setAsked] = useState<PhotoCell | undefined>(undefined);
  const from = maps[asked?.of ?? 0] ?? maps[0];
  // The cell that the others are compared with.
  const query: PhotoCell | undefined = useMemo(() => {
    if (!from) return undefined;
    const { rows, columns } = from.grid;
    const cell = asked?.cell ?? { row: rows >> 1, column: columns >> 1 };
    const of = asked && maps[asked.of] ? asked.of : 0;
    return { of, cell: { row: Math.min(rows - 1, cell.row), column: Math.min(columns - 1, cell.column) } };
  }, [from, asked, maps]);
  const shown = useMemo(() => {
    if (!from || !query) return [];
    const index = query.cell.row * from.grid.columns + query.cell.column;
    const values = maps.map(({ vectors }) => similarities(vectors, from.vectors, index));
    const range = rangeOf(...values);
    return maps.map(({ grid }, i) => ({ grid, values: values[i]!, range, colours: heatColours(values[i]!, range) }));
  }, [maps, from, query]);
  const captionOf = (i: number): string => {
    const map = shown[i];
    if (!map || !query) return loading ? 'being computed' : 'no map';
    let best = -1;
    for (const [cell, value] of map.values.entries()) {
      const own = i === query.of && cell === query.cell.row * map.grid.columns + query.cell.column;
      if (!own && (best < 0 || value > map.values[best]!)) best = cell;
    }
    if (best < 0) return 'a single cell';
    const { columns } = map.grid;
    return `most similar: row ${Math.floor(best / columns) + 1}, column ${(best % columns) + 1}, cosine ${map.values[best]!.toFixed(3)}`;
  };
  const source = query && (query.of === 0 ? a : b);
  return (
    <>
      <p class="about">
        Move over a photograph, or focus it and use the arrow keys. Colours give the cosine similarity of every cell
        {b ? ' of both photographs' : ''} to the one under the pointer.
      </p>
      <div class="controls">
        <Opacity value={opacity} onValue={setOpacity} />
        {shown[0] && <Legend range={shown[0].range} label="Cosine similarity" />}
      </div>
      <Problem error={error} what="The similarities cannot be shown." />
      <MapPanels {...{ a, b, captionOf, opacity, loading }} maps={shown} selected={query} onSelect={setAsked} />
      <output class="readout">
        {query && source && `Cell at row ${query.cell.row + 1}, column ${query.cell.column + 1} of ${source.name}`}
      </output>
      <CopyAs program={program} />
    </>
  );
}
