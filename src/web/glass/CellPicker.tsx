import type { TargetedKeyboardEvent, TargetedPointerEvent } from 'preact';
import type { CellIndex, Rectangle } from './geometry.js';
import type { GridJson } from './messages.js';
import type { Size } from './photo.js';

interface CellPickerProps {
  readonly label: string;
  readonly grid: GridJson;
  readonly cell: CellIndex | undefined;
  /** Where it lies, as shares of the parent's size. */
  readonly place: Rectangle;
  /** The cell at a point, given as shares of the picker's size. */
  readonly cellAt: (x: number, y: number) => CellIndex | undefined;
  readonly onCell: (cell: CellIndex) => void;
  /** Whether the pointer selects by moving, not only by clicking. */
  readonly follows?: boolean;
}

const STEPS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

const clamp = (value: number, count: number) => Math.min(count - 1, Math.max(0, value));

/** Selects a cell of a map with the pointer, or with the arrow keys, Home and End. */
export function CellPicker({ label, grid, cell, place, cellAt, onCell, follows = false }: CellPickerProps) {
  const at = (event: TargetedPointerEvent<HTMLElement>): void => {
    const { left, top, width, height } = event.currentTarget.getBoundingClientRect();
    const found = cellAt((event.clientX - left) / width, (event.clientY - top) / height);
    if (found && (found.row !== cell?.row || found.column !== cell?.column)) onCell(found);
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLElement>): void => {
    // With these, the keys are the browser's, such as Alt+Left for the page before.
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { row, column } = cell ?? { row: grid.rows >> 1, column: grid.columns >> 1 };
    const step = STEPS[event.key];
    const next =
      event.key === 'Home'
        ? { row, column: 0 }
        : event.key === 'End'
          ? { row, column: grid.columns - 1 }
          : (step ?? (event.key === 'Enter' ? [0, 0] : undefined)) && {
              row: clamp(row + (cell && step ? step[0] : 0), grid.rows),
              column: clamp(column + (cell && step ? step[1] : 0), grid.columns),
            };
    if (!next) return;
    event.preventDefault();
    onCell(next);
  };
  const percent = (share: number) => `${share * 100}%`;
  return (
    // No element selects a point of a picture.
    <div
      class="picker"
      role="application"
      aria-roledescription="grid of cells"
      aria-label={`${label}; ${grid.rows} rows and ${grid.columns} columns; arrow keys select a cell`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: an application takes keys
      tabIndex={0}
      style={{
        left: percent(place.left),
        top: percent(place.top),
        width: percent(place.width),
        height: percent(place.height),
      }}
      onKeyDown={onKeyDown}
      onPointerDown={at}
      onPointerMove={follows ? at : undefined}
    />
  );
}

/** A rectangle as shares of a size. */
export function sharesOf({ left, top, width, height }: Rectangle, size: Size): Rectangle {
  return {
    left: left / size.width,
    top: top / size.height,
    width: width / size.width,
    height: height / size.height,
  };
}
