import { float16ToFloat32 } from '../../tensor/float16.js';
import { type StagedFile, stageFile } from '../stagedFile.js';
import { describingColumns } from './columns.js';
import { type ParquetColumn, type ParquetTable, parquetTable } from './parquetTable.js';
import type { ShardFormat, TableSpec } from './shardWriter.js';

/** Numbers in the vectors of one row group, which the library holds as JavaScript numbers. */
const GROUP_NUMBERS = 2 ** 19;

const elementTypes = { float32: 'floats', float16: 'halfs', int8: 'bytes8' } as const;

interface TableWriter {
  readonly described: ReturnType<typeof describingColumns>;
  readonly writer: ParquetTable;
}

/**
 * Parquet tables for DuckDB, pandas, Spark and vector databases: `images/images_0.parquet` and `regions/regions_0.parquet`, with
 * image_path, width, height, model, and a list of numbers for each vector. With int8, value = element * the column `NAME_scale`.
 */
export const parquetShard: ShardFormat = async ({ out, shard, tables, dtype, model }) => {
  const files: StagedFile[] = [];
  const stage = async (name: string): Promise<StagedFile> => {
    const file = await stageFile(out, `${name}/${name}_${shard}.parquet`);
    files.push(file);
    return file;
  };
  const writers = new Map<TableSpec['name'], TableWriter>();
  try {
    for (const table of tables) {
      const described = describingColumns(table, model);
      const vectors = table.outputs.flatMap(({ name }): ParquetColumn[] => [
        { name, type: elementTypes[dtype] },
        ...(dtype === 'int8' ? [{ name: `${name}_scale`, type: 'float' as const }] : []),
      ]);
      const numbers = table.outputs.reduce((sum, { channels }) => sum + channels, 0);
      const columns = [...described.map(([column]) => column), ...vectors];
      const groupRows = Math.max(1, Math.floor(GROUP_NUMBERS / numbers));
      const writer = parquetTable(await stage(table.name), columns, groupRows, { model });
      writers.set(table.name, { described, writer });
    }
  } catch (error) {
    for (const file of files) await file.abandon();
    throw error;
  }
  return {
    files,
    async append(table, rows) {
      const { described, writer } = writers.get(table)!;
      await writer.append(
        rows.map((row) => [
          ...described.map(([, value]) => value(row)),
          ...row.values.flatMap((value): (number | number[])[] => {
            if ('scales' in value) return [Array.from(value.data), value.scales[0]!];
            return [Array.from(value.dtype === 'float16' ? float16ToFloat32(value.data as Uint16Array) : value.data)];
          }),
        ]),
      );
    },
    async end() {
      for (const { writer } of writers.values()) await writer.end();
    },
  };
};
