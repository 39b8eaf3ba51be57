import type { CellIndex } from './geometry.js';
import { MapPanel, type PaintedMap } from './MapPanel.js';
import type { Photo } from './photo.js';

/** A cell of one of the two photographs. */
export interface PhotoCell {
  /** 0: of the first photograph, 1: of the second. */
  readonly of: number;
  readonly cell: CellIndex;
}

interface MapPanelsProps {
  readonly a: Photo;
  readonly b?: Photo | undefined;
  /** The maps of the photographs, as far as they are computed. */
  readonly maps: readonly (PaintedMap | undefined)[];
  readonly captionOf: (of: number) => string;
  readonly opacity: number;
  readonly loading: boolean;
  readonly selected?: PhotoCell | undefined;
  /** Makes the cells selectable. */
  readonly onSelect?: (cell: PhotoCell) => void;
}

/** One or two photographs with the colours of their cells over them. */
export function MapPanels({ a, b, maps, captionOf, opacity, loading, selected, onSelect }: MapPanelsProps) {
  return (
    <div class={b ? 'panels two' : 'panels'}>
      {[a, b].map(
        (photo, of) =>
          photo && (
            <MapPanel
              key={photo.id}
              photo={photo}
              caption={captionOf(of)}
              map={maps[of]}
              opacity={opacity}
              cell={selected?.of === of ? selected.cell : undefined}
              {...(onSelect && { onCell: (cell: CellIndex) => onSelect({ of, cell }) })}
              loading={loading}
            />
          ),
      )}
    </div>
  );
}
