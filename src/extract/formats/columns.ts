import type { ParquetColumn } from './parquetTable.js';
import type { Row, TableSpec } from './shardWriter.js';

/** The columns that describe a row, without its values; the same in all formats. */

type Described = readonly [column: ParquetColumn, value: (row: Row) => string | number];

const image: readonly Described[] = [
  [{ name: 'image_path', type: 'text' }, ({ path }) => path],
  [{ name: 'width', type: 'int32' }, ({ width }) => width],
  [{ name: 'height', type: 'int32' }, ({ height }) => height],
];

/** x of the original = offset + scale * x of the network input; the cell (row, column) of a map covers `stride` input pixels. */
const place: readonly Described[] = [
  [{ name: 'input_scale_x', type: 'double' }, ({ toOriginal }) => toOriginal!.scaleX],
  [{ name: 'input_scale_y', type: 'double' }, ({ toOriginal }) => toOriginal!.scaleY],
  [{ name: 'input_offset_x', type: 'double' }, ({ toOriginal }) => toOriginal!.offsetX],
  [{ name: 'input_offset_y', type: 'double' }, ({ toOriginal }) => toOriginal!.offsetY],
];

const region: readonly Described[] = [
  [{ name: 'region', type: 'int32' }, ({ region: found }) => found!.index],
  [{ name: 'left', type: 'double' }, ({ region: found }) => found!.left],
  [{ name: 'top', type: 'double' }, ({ region: found }) => found!.top],
  [{ name: 'right', type: 'double' }, ({ region: found }) => found!.right],
  [{ name: 'bottom', type: 'double' }, ({ region: found }) => found!.bottom],
  [{ name: 'coverage', type: 'float' }, ({ region: found }) => found!.coverage],
];

/** The describing columns of a table, and how their values follow from a row. @param model adds a column with its name */
export function describingColumns({ name, outputs }: TableSpec, model?: string): readonly Described[] {
  return [
    ...image,
    ...(model === undefined ? [] : [[{ name: 'model', type: 'text' }, () => model] as Described]),
    ...(outputs.some(({ kind }) => kind === 'map') ? place : []),
    ...(name === 'regions' ? region : []),
  ];
}
