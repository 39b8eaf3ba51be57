import type { MatchSide__Output } from '../../src/proto/generated/vicregl/v1/MatchSide.js';
import { sentGrid } from './sentGrid.js';

/** Features of one row of cells in which all numbers are equal, as a caller sends them. */
export function sentSide(columns: number, channels: number, value: number): MatchSide__Output {
  const data = Buffer.from(new Float32Array(columns * channels).fill(value).buffer);
  const features = {
    dtype: 'DATA_TYPE_FLOAT32' as const,
    shape: [1, columns, channels],
    data,
    scales: Buffer.alloc(0),
  };
  return { source: 'features', features: { features, grid: sentGrid(1, columns) }, store: false };
}
