import type { SchemaElement } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import type { StagedFile } from '../stagedFile.js';

/** A column of a Parquet table. `list`: a list of numbers in every row. */
export interface ParquetColumn {
  readonly name: string;
  readonly type: 'text' | 'int32' | 'float' | 'double' | 'floats' | 'halfs' | 'bytes8';
}

const scalars = {
  text: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  int32: { type: 'INT32' },
  float: { type: 'FLOAT' },
  double: { type: 'DOUBLE' },
} as const;

const elements = {
  floats: { type: 'FLOAT' },
  // Stored as its two bytes.
  halfs: { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 2, logical_type: { type: 'FLOAT16' } },
  bytes8: { type: 'INT32', converted_type: 'INT_8' },
} as const;

function schemaOf(columns: readonly ParquetColumn[]): SchemaElement[] {
  return [
    { name: 'schema', num_children: columns.length },
    ...columns.flatMap(({ name, type }): SchemaElement[] =>
      type in scalars
        ? [{ name, repetition_type: 'REQUIRED', ...scalars[type as keyof typeof scalars] }]
        : [
            { name, repetition_type: 'REQUIRED', num_children: 1, converted_type: 'LIST' },
            { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
            { name: 'element', repetition_type: 'REQUIRED', ...elements[type as keyof typeof elements] },
          ],
    ),
  ];
}

/** A Parquet file that is written in row groups. */
export interface ParquetTable {
  /** @param rows one value for each column */
  append(rows: readonly (readonly (string | number | readonly number[])[])[]): Promise<void>;
  end(): Promise<void>;
}

/**
 * Writes rows to a Parquet file, `groupRows` at a time. Strings are compressed (Snappy); vectors are not, since their bits are
 * random.
 */
export function parquetTable(
  file: StagedFile,
  columns: readonly ParquetColumn[],
  groupRows: number,
  about: Readonly<Record<string, string>>,
): ParquetTable {
  const bytes = new ByteWriter();
  const writer = new ParquetWriter({
    writer: bytes,
    schema: schemaOf(columns),
    createdBy: 'vicregl',
    kvMetadata: Object.entries(about).map(([key, value]) => ({ key, value })),
  });
  let pending: (readonly (string | number | readonly number[])[])[] = [];

  const flush = async (): Promise<void> => {
    // The offset of the writer goes on, while its buffer begins anew.
    await file.append(new Uint8Array(bytes.getBytes()));
    bytes.index = 0;
  };
  const group = async (): Promise<void> => {
    if (pending.length === 0) return;
    writer.write({
      columnData: columns.map(({ name, type }, c) => ({
        name,
        data: pending.map((row) => row[c]) as unknown[],
        ...(!(type in scalars) && { encoding: 'PLAIN' as const, codec: 'UNCOMPRESSED' as const, statistics: false }),
      })),
      rowGroupSize: pending.length,
    });
    pending = [];
    await flush();
  };
  return {
    async append(rows) {
      for (const row of rows) {
        pending.push(row);
        if (pending.length >= groupRows) await group();
      }
    },
    async end() {
      await group();
      writer.finish();
      await flush();
    },
  };
}
