import { useMemo, useState } from 'preact/hooks';
import { CopyAs } from './CopyAs.js';
import { heatColours } from './colours.js';
import { hasCell } from './geometry.js';
import { Legend } from './Legend.js';
import { MapPanels, type PhotoCell } from './MapPanels.js';
import { Opacity } from './Opacity.js';
import { Problem } from './Problem.js';
import { norms, rangeOf } from './tensor.js';
import { useMaps } from './useMaps.js';
import type { ViewProps } from './views.js';

/** The length of every cell's vector. */
export function NormsView(props: ViewProps) {
  const { a, b } = props;
  const { program, maps, error, loading } = useMaps(props);
  const [opacity, setOpacity] = useState(0.85);
  const [pointed, setPointed] = useState<PhotoCell | undefined>(undefined);
  const shown = useMemo(() => {
    const lengths = maps.map(({ vectors }) => norms(vectors));
    const range = rangeOf(...lengths);
    return maps.map(({ grid }, i) => ({ grid, lengths: lengths[i]!, range, colours: heatColours(lengths[i]!, range) }));
  }, [maps]);
  const captionOf = (i: number): string => {
    const map = shown[i];
    if (!map) return loading ? 'being computed' : 'no map';
    const mean = map.lengths.reduce((sum, length) => sum + length, 0) / map.lengths.length;
    return `${map.grid.rows} x ${map.grid.columns} cells, mean norm ${mean.toPrecision(3)}`;
  };
  const at = pointed && shown[pointed.of];
  // The map may have been replaced by a smaller one.
  const read = pointed && at && hasCell(at.grid, pointed.cell) ? pointed : undefined;
  const value = read && at?.lengths[read.cell.row * at.grid.columns + read.cell.column];
  return (
    <>
      <p class="about">
        The L2 norm of every cell's vector. Cells that stand out alone are often artefacts of the network; a norm of 0
        means that nothing is left of the cell.
      </p>
      <div class="controls">
        <Opacity value={opacity} onValue={setOpacity} />
        {shown[0] && <Legend range={shown[0].range} label="L2 norm" />}
      </div>
      <Problem error={error} what="The norms cannot be shown." />
      <MapPanels {...{ a, b, captionOf, opacity, loading }} maps={shown} selected={read} onSelect={setPointed} />
      <output class="readout">
        {value !== undefined && read
          ? `Row ${read.cell.row + 1}, column ${read.cell.column + 1} of ${[a, b][read.of]?.name}: norm ${value.toPrecision(4)}`
          : 'Point at a cell to read its norm.'}
      </output>
      <CopyAs program={program} />
    </>
  );
}
