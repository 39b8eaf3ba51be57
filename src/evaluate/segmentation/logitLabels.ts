import type { Rectangle, Size } from '../../image/types.js';
import { bilinearTap } from '../../tensor/bilinearTap.js';
import type { LogitRows } from './logitBand.js';

/** The most likely label of every pixel of a photograph, from logits that come row by row. */
export interface LogitLabels {
  /** Takes the next rows, from the top. */
  take(rows: LogitRows): void;
  /** uint8 [height * width], once all rows have been taken. */
  readonly labels: Uint8Array;
}

/** Labels of logits of the photograph's own size. Sums of windows do: all classes of a pixel have the same number of them. */
export function ownLabels({ width, height }: Size): LogitLabels {
  const labels = new Uint8Array(width * height);
  return {
    labels,
    take({ sums, plane, classes, top, rows }) {
      const best = sums.slice(0, rows * width);
      for (let k = 1; k < classes; k++) {
        for (let i = 0; i < best.length; i++) {
          const value = sums[k * plane + i]!;
          if (value > best[i]!) {
            best[i] = value;
            labels[top * width + i] = k;
          }
        }
      }
    },
  };
}

/** How many windows reach over each position of an axis. */
function coverage(length: number, parts: Iterable<readonly [start: number, length: number]>): Float32Array {
  const counts = new Float32Array(length);
  for (const [start, size] of new Map(parts)) for (let i = start; i < start + size; i++) counts[i]! += 1;
  return counts;
}

const taps = (from: number, to: number) => Array.from({ length: to }, (_, i) => bilinearTap(i, from, to));

/**
 * Labels at the photograph's own size, of logits of a rescaled photograph: these are averaged over the windows, resized bilinearly and
 * then compared, as mmsegmentation's inference does.
 * @param windows of the rescaled photograph, a grid
 */
export function resizedLabels(own: Size, seen: Size, windows: readonly Rectangle[]): LogitLabels {
  const labels = new Uint8Array(own.width * own.height);
  const down = taps(seen.height, own.height);
  const across = taps(seen.width, own.width);
  const columnWindows = coverage(
    seen.width,
    windows.map(({ left, width }) => [left, width] as const),
  );
  const rowWindows = coverage(
    seen.height,
    windows.map(({ top, height }) => [top, height] as const),
  );
  // Logits of the last two rows that came, at the width of the photograph, class by class.
  let [previous, current] = [new Float32Array(0), new Float32Array(0)];
  let next = 0;

  function widen({ sums, plane, width, classes }: LogitRows, row: number, windowsOfRow: number): void {
    for (let k = 0; k < classes; k++) {
      const line = k * plane + row * width;
      for (let x = 0; x < own.width; x++) {
        const { low, high, weight } = across[x]!;
        const left = sums[line + low]! / columnWindows[low]!;
        const right = sums[line + high]! / columnWindows[high]!;
        current[k * own.width + x] = (left + (right - left) * weight) / windowsOfRow;
      }
    }
  }

  function label(upper: Float32Array, weight: number, classes: number): void {
    for (let x = 0; x < own.width; x++) {
      let [best, most] = [0, Number.NEGATIVE_INFINITY];
      for (let i = x, k = 0; k < classes; k++, i += own.width) {
        const value = upper[i]! + (current[i]! - upper[i]!) * weight;
        if (value > most) [best, most] = [k, value];
      }
      labels[next * own.width + x] = best;
    }
  }

  return {
    labels,
    take(finished) {
      for (let row = 0; row < finished.rows; row++) {
        const at = finished.top + row;
        const size = finished.classes * own.width;
        [previous, current] = [current, previous.length === size ? previous : new Float32Array(size)];
        widen(finished, row, rowWindows[at]!);
        // All rows of the photograph whose lower neighbour this is.
        for (; next < own.height && down[next]!.high <= at; next++) {
          const { low, weight } = down[next]!;
          label(low === at ? current : previous, weight, finished.classes);
        }
      }
    },
  };
}
