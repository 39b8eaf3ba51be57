import { useEffect, useRef, useState } from 'preact/hooks';
import { CellPicker, sharesOf } from './CellPicker.js';
import { type CellIndex, cellAt, cellRectangle, mapRectangle, project, type Rectangle, sizeOf } from './geometry.js';
import type { Side } from './matching.js';
import type { CellPointJson, GridJson, HomographyJson, PairJson } from './messages.js';
import { drawWarp } from './warp.js';

interface MatchFigureProps {
  readonly sides: readonly [Side, Side];
  readonly grids: readonly [GridJson, GridJson] | undefined;
  readonly pairs: readonly PairJson[];
  readonly homography: HomographyJson | undefined;
  /** Opacity of the first picture over the second, by the homography. */
  readonly overlay: number;
  /** The selected cell and its best match. */
  readonly best: { readonly from: 0 | 1; readonly cell: CellIndex; readonly pair: PairJson | undefined } | undefined;
  readonly onCell: (side: 0 | 1, cell: CellIndex) => void;
  readonly loading: boolean;
}

/** Units of the drawing: the length that both pictures have in common, and the gap between them. */
const COMMON = 500;
/** Longest side of one, also of a panorama: browsers draw nothing on larger canvases. */
const LONGEST = 4000;
const GAP = 24;
const NARROW = 560;
/** Dark lines are drawn under all yellow ones, so that pairs show on bright photographs too. */
const LAYERS = ['under', 'over'] as const;

/** Where a side lies in the drawing, and its map from pixels of the original. */
interface Placed extends Rectangle {
  readonly view: Rectangle;
  readonly flip: boolean;
  readonly scale: number;
  readonly x: (pixel: number) => number;
  readonly y: (pixel: number) => number;
}

function viewOf({ photo, crop }: Side, grid: GridJson | undefined): Rectangle {
  return crop ?? { left: 0, top: 0, ...sizeOf(photo, grid) };
}

function placed(side: Side, grid: GridJson | undefined, left: number, top: number, stacked: boolean): Placed {
  const view = viewOf(side, grid);
  const flip = side.crop?.flip ?? false;
  const scale = Math.min(COMMON / (stacked ? view.width : view.height), LONGEST / Math.max(view.width, view.height));
  return {
    ...{ left, top, view, flip, scale },
    width: view.width * scale,
    height: view.height * scale,
    x: (pixel) => left + (flip ? view.left + view.width - pixel : pixel - view.left) * scale,
    y: (pixel) => top + (pixel - view.top) * scale,
  };
}

/** A rectangle of the original in the drawing. */
function boxOf(at: Placed, { left, top, width, height }: Rectangle): Rectangle {
  const x = Math.min(at.x(left), at.x(left + width));
  return { left: x, top: at.y(top), width: width * at.scale, height: height * at.scale };
}

const cellOf = ({ row = 0, column = 0 }: CellPointJson): CellIndex => ({ row, column });

/** The paper's figure: two pictures, boxes around matched cells, a yellow line for each pair. */
export function MatchFigure(props: MatchFigureProps) {
  const { sides, grids, pairs, homography, overlay, best, onCell, loading } = props;
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [stacked, setStacked] = useState(false);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setStacked(entry!.contentRect.width < NARROW));
    observer.observe(frame.current!.parentElement!);
    return () => observer.disconnect();
  }, []);
  const a = placed(sides[0], grids?.[0], 0, 0, stacked);
  const b = placed(sides[1], grids?.[1], stacked ? 0 : a.width + GAP, stacked ? a.height + GAP : 0, stacked);
  const width = Math.round(Math.max(a.width, b.left + b.width));
  const height = Math.round(Math.max(a.height, b.top + b.height));
  const matrix = homography?.matrix?.length === 9 ? homography.matrix : undefined;
  const viewKey = JSON.stringify([a.view, a.flip, b.view, b.flip]);
  // The key stands for the places.
  useEffect(() => {
    const context = canvas.current!.getContext('2d')!;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    for (const [i, at] of [a, b].entries()) {
      const { bitmap } = sides[i]!.photo;
      if (!bitmap) continue;
      const { view, flip } = at;
      context.setTransform(flip ? -1 : 1, 0, 0, 1, flip ? at.left + at.width : at.left, at.top);
      context.drawImage(bitmap, view.left, view.top, view.width, view.height, 0, 0, at.width, at.height);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (matrix && overlay > 0) drawWarp(context, sides[0].photo, matrix, a.view, b, overlay);
  }, [sides[0].photo, sides[1].photo, viewKey, width, height, matrix, overlay]);
  const size = { width, height };
  const drawPair = (pair: PairJson, i: number, layer: 'under' | 'over') => {
    const [gridA, gridB] = grids!;
    const boxes = [boxOf(a, cellRectangle(gridA, cellOf(pair.a))), boxOf(b, cellRectangle(gridB, cellOf(pair.b)))];
    const inlier = homography?.inliers?.[i];
    const kind = inlier === false ? 'pair outlier' : 'pair';
    const ends = { x1: a.x(pair.a.x ?? 0), y1: a.y(pair.a.y ?? 0), x2: b.x(pair.b.x ?? 0), y2: b.y(pair.b.y ?? 0) };
    return (
      <g key={i} class={`${kind} ${layer}`}>
        {boxes.map((box, side) => (
          <rect key={side} x={box.left} y={box.top} width={box.width} height={box.height} />
        ))}
        <line {...ends} />
      </g>
    );
  };
  const drawBest = () => {
    if (!best || !grids) return null;
    const { pair, from, cell } = best;
    if (!pair) {
      const box = boxOf(from === 0 ? a : b, cellRectangle(grids[from], cell));
      return (
        <g class="pair best">
          <rect x={box.left} y={box.top} width={box.width} height={box.height} />
        </g>
      );
    }
    return <g class="chosen">{LAYERS.map((layer) => drawPair(pair, -1, layer))}</g>;
  };
  const outline = (() => {
    if (!matrix) return undefined;
    const { left, top, width: w, height: h } = a.view;
    const corners = [
      [left, top],
      [left + w, top],
      [left + w, top + h],
      [left, top + h],
    ].map(([x, y]) => project(matrix, x!, y!));
    if (corners.some((corner) => corner === undefined)) return undefined;
    return corners.map((corner) => `${b.x(corner!.x).toFixed(1)},${b.y(corner!.y).toFixed(1)}`).join(' ');
  })();
  return (
    <figure class="matches">
      <div class={loading ? 'stage loading' : 'stage'} ref={frame}>
        <canvas
          ref={canvas}
          width={width}
          height={height}
          role="img"
          aria-label={`${pairs.length} matches between ${sides[0].photo.name} and ${sides[1].photo.name}`}
        />
        {grids && (
          <svg viewBox={`0 0 ${width} ${height}`} aria-hidden="true" focusable="false">
            <clipPath id="second">
              <rect x={b.left} y={b.top} width={b.width} height={b.height} />
            </clipPath>
            <g class={best ? 'pairs dimmed' : 'pairs'}>
              {LAYERS.map((layer) => (
                <g key={layer}>{pairs.map((pair, i) => drawPair(pair, i, layer))}</g>
              ))}
            </g>
            {outline && <polygon class="warped" points={outline} clip-path="url(#second)" />}
            {drawBest()}
          </svg>
        )}
        {grids &&
          ([a, b] as const).map((at, i) => {
            const grid = grids[i]!;
            const area = boxOf(at, mapRectangle(grid));
            return (
              <CellPicker
                key={i === 0 ? 'first' : 'second'}
                label={`Cells of the ${i === 0 ? 'first' : 'second'} picture, ${sides[i]!.photo.name}`}
                grid={grid}
                cell={best?.from === i ? best.cell : undefined}
                place={sharesOf(area, size)}
                cellAt={(x, y) => {
                  const { left, top, width: w, height: h } = mapRectangle(grid);
                  return cellAt(grid, at.flip ? left + (1 - x) * w : left + x * w, top + y * h);
                }}
                onCell={(cell) => onCell(i as 0 | 1, cell)}
              />
            );
          })}
      </div>
    </figure>
  );
}
