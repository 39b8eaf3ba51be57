import { useEffect, useRef } from 'preact/hooks';
import { CellPicker, sharesOf } from './CellPicker.js';
import { type CellIndex, cellAt, cellRectangle, mapRectangle, sizeOf } from './geometry.js';
import type { GridJson } from './messages.js';
import type { Photo } from './photo.js';

/** The cells of a map and their colours. */
export interface PaintedMap {
  readonly grid: GridJson;
  readonly colours: Uint8ClampedArray;
}

interface MapPanelProps {
  readonly photo: Photo;
  readonly caption: string;
  /** The map over the photograph. Absent while it is computed. */
  readonly map?: PaintedMap | undefined;
  /** Opacity of the map, 0 to 1. */
  readonly opacity: number;
  readonly cell?: CellIndex | undefined;
  /** Makes the cells selectable. */
  readonly onCell?: (cell: CellIndex) => void;
  readonly loading: boolean;
}

/** Pixels of the drawing along its longest side. */
const LONGEST = 1024;

/** Paints the outline of a cell so that it shows on any colour. */
function outlineCell(context: CanvasRenderingContext2D, x: number, y: number, width: number, height: number): void {
  for (const [style, line] of [
    ['rgb(0 0 0 / 0.75)', 5],
    ['#ffd400', 2.5],
  ] as const) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.strokeRect(x, y, width, height);
  }
}

/** A photograph with the colours of its cells over it. */
export function MapPanel({ photo, caption, map, opacity, cell, onCell, loading }: MapPanelProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = sizeOf(photo, map?.grid);
  const scale = LONGEST / Math.max(size.width, size.height);
  const [width, height] = [Math.round(size.width * scale), Math.round(size.height * scale)];
  useEffect(() => {
    const context = canvas.current!.getContext('2d')!;
    context.clearRect(0, 0, width, height);
    if (photo.bitmap) context.drawImage(photo.bitmap, 0, 0, width, height);
    if (!map) return;
    const { grid, colours } = map;
    const cells = new OffscreenCanvas(grid.columns, grid.rows);
    cells.getContext('2d')!.putImageData(new ImageData(new Uint8ClampedArray(colours), grid.columns, grid.rows), 0, 0);
    const { left, top, width: w, height: h } = mapRectangle(grid);
    context.imageSmoothingEnabled = false;
    context.globalAlpha = photo.bitmap ? opacity : 1;
    context.drawImage(cells, left * scale, top * scale, w * scale, h * scale);
    context.globalAlpha = 1;
    if (cell) {
      const box = cellRectangle(grid, cell);
      outlineCell(context, box.left * scale, box.top * scale, box.width * scale, box.height * scale);
    }
  }, [photo, map, opacity, cell, scale, width, height]);
  return (
    <figure class="panel">
      <div class={loading ? 'stage loading' : 'stage'}>
        <canvas ref={canvas} width={width} height={height} role="img" aria-label={`${photo.name}: ${caption}`} />
        {map && onCell && (
          <CellPicker
            label={`Cells of ${photo.name}`}
            grid={map.grid}
            cell={cell}
            place={sharesOf(mapRectangle(map.grid), size)}
            cellAt={(x, y) => {
              const { left, top, width: w, height: h } = mapRectangle(map.grid);
              return cellAt(map.grid, left + x * w, top + y * h);
            }}
            onCell={onCell}
            follows
          />
        )}
      </div>
      <figcaption>
        <strong>{photo.name}</strong>{' '}
        <span>{photo.bitmap ? caption : `${caption}; this browser cannot show the file itself`}</span>
      </figcaption>
    </figure>
  );
}
