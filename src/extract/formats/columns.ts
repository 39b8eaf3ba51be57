import type { ParquetColumn } from './parquetTable.js';
import type { Row, TableSpec } from './shardWriter.js';

/** The columns that describe a row, without its values; the same in all formats. */

type Described = readonly [column: ParquetColumn, value: (row: Row) => string | number];

const image: readonly Described[] = [
  [{ name: 'image_path', type: 'text' }, ({ path }) => path],
  [{ name: 'width', type: 'int32' }, ({ width }) => width],
  [{ name: 'height', type: 'int32' }, ({ height }) => height],
];

/** x of the original = map_left + map_width * (column + 0.5) / w for a map [h, w, C]. */
const place: readonly Described[] = [
  [{ name: 'map_left', type: 'double' }, ({ covered }) => covered!.left],
  [{ name: 'map_top', type: 'double' }, ({ covered }) => covered!.top],
  [{ name: 'map_width', type: 'double' }, ({ covered }) => covered!.width],
  [{ name: 'map_height', type: 'double' }, ({ covered }) => covered!.height],
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
