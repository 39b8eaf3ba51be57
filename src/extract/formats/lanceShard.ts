import { createRequire } from 'node:module';
import type { Data, DataType, Schema } from 'apache-arrow';
import { OutputError } from '../../files/output.js';
import { ExtractError } from '../extractError.js';
import { type StagedFolder, stageFolder } from '../stagedFolder.js';
import { describingColumns } from './columns.js';
import type { Row, ShardFormat, ShardSetup, ShardWriter, TableSpec } from './shardWriter.js';

/** Numbers in the vectors of one write, which makes one fragment of a Lance data set: 32 MB of float32. */
const WRITE_NUMBERS = 2 ** 23;

type Numbers = Float32Array | Uint16Array | Int8Array;
type Arrow = typeof import('apache-arrow');
type LanceDb = typeof import('@lancedb/lancedb');

/** @throws ExtractError `bad_option` if the packages are not installed, or have no binary for this platform */
async function loadLance(): Promise<{ readonly arrow: Arrow; readonly lancedb: LanceDb }> {
  try {
    const lancedb = await import('@lancedb/lancedb');
    // The same module object as LanceDB's, which tests the classes of what it gets; an import would give that for ES modules.
    const required = createRequire(createRequire(import.meta.url).resolve('@lancedb/lancedb'));
    return { arrow: required('apache-arrow') as Arrow, lancedb };
  } catch (cause) {
    const reason = (cause as Error).message.split('\n', 1)[0];
    throw new ExtractError(
      'bad_option',
      `--format lance: needs the packages @lancedb/lancedb and apache-arrow: npm install @lancedb/lancedb@0.21.3 apache-arrow@18.1.0 (${reason})`,
      { cause },
    );
  }
}

/** A column that is filled row by row. */
interface Column {
  readonly name: string;
  readonly type: DataType;
  append(row: Row): void;
  /** The rows since the last call. */
  take(): Data;
}

/** A column of texts or single numbers. */
function scalarColumn(arrow: Arrow, name: string, type: DataType, value: (row: Row) => string | number): Column {
  let values: (string | number)[] = [];
  return {
    name,
    type,
    append: (row) => void values.push(value(row)),
    take() {
      // One part, since it is made of one array.
      const [taken] = arrow.vectorFromArray(values, type).data;
      values = [];
      return taken!;
    },
  };
}

/** A column of vectors of one length. */
function vectorColumn(
  arrow: Arrow,
  name: string,
  element: DataType,
  length: number,
  value: (row: Row) => Numbers,
): Column {
  const type = new arrow.FixedSizeList(length, new arrow.Field('item', element, true));
  let vectors: Numbers[] = [];
  return {
    name,
    type,
    append: (row) => void vectors.push(value(row)),
    take() {
      const Elements = element.ArrayType as new (length: number) => Numbers;
      const data = new Elements(vectors.length * length);
      for (const [i, vector] of vectors.entries()) data.set(vector as never, i * length);
      const child = arrow.makeData({ type: element as never, length: data.length, data: data as never });
      const list = arrow.makeData({ type, length: vectors.length, nullCount: 0, child });
      vectors = [];
      return list;
    },
  };
}

function columnsOf(arrow: Arrow, table: TableSpec, dtype: 'float32' | 'float16' | 'int8', model: string): Column[] {
  const scalars = {
    text: new arrow.Utf8(),
    int32: new arrow.Int32(),
    float: new arrow.Float32(),
    double: new arrow.Float64(),
  };
  const element = { float32: new arrow.Float32(), float16: new arrow.Float16(), int8: new arrow.Int8() }[dtype];
  return [
    ...describingColumns(table, model).map(([{ name, type }, value]) =>
      scalarColumn(arrow, name, scalars[type as keyof typeof scalars], value),
    ),
    ...table.outputs.flatMap(({ name, channels }, i): Column[] => [
      vectorColumn(arrow, name, element, channels, (row) => row.values[i]!.data as Numbers),
      ...(dtype === 'int8'
        ? [
            scalarColumn(arrow, `${name}_scale`, scalars.float, (row) => {
              const value = row.values[i]!;
              return 'scales' in value ? value.scales[0]! : 1;
            }),
          ]
        : []),
    ]),
  ];
}

/** A Lance data set to which rows are appended. */
interface LanceTable {
  readonly folder: StagedFolder;
  append(rows: readonly Row[]): Promise<void>;
  end(): Promise<void>;
  close(): void;
}

async function lanceTable(
  { arrow, lancedb }: Awaited<ReturnType<typeof loadLance>>,
  folder: StagedFolder,
  table: TableSpec,
  columns: readonly Column[],
): Promise<LanceTable> {
  const writing = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (cause) {
      // Errors of the library are long texts, with paths of its source; those of the system are inside them.
      const { message } = cause as Error;
      const reason = /[^:]+(?= \(os error \d+\))/.exec(message)?.[0].trim() ?? message.split('\n', 1)[0];
      throw new OutputError(`--out: ${folder.parent} cannot be written: ${reason}`, { cause });
    }
  };
  const schema = new arrow.Schema(columns.map(({ name, type }) => new arrow.Field(name, type, false))) as Schema;
  const numbers = table.outputs.reduce((sum, { channels }) => sum + channels, 0);
  const writeRows = Math.max(1, Math.floor(WRITE_NUMBERS / numbers));
  const database = await writing(() => lancedb.connect(folder.parent));
  const name = folder.name.replace(/\.lance$/, '');
  let opened: Awaited<ReturnType<typeof database.createTable>> | undefined;
  let waiting = 0;

  const flush = async (): Promise<void> => {
    if (waiting === 0 && opened !== undefined) return;
    const children = columns.map((column) => column.take());
    const type = new arrow.Struct(schema.fields);
    const rows = new arrow.Table(
      new arrow.RecordBatch(schema, arrow.makeData({ type, length: waiting, nullCount: 0, children })),
    );
    await writing(async () => {
      if (opened !== undefined) await opened.add(rows);
      else if (waiting === 0) opened = await database.createEmptyTable(name, schema);
      else opened = await database.createTable(name, rows);
    });
    waiting = 0;
  };
  return {
    folder,
    async append(rows) {
      for (const row of rows) {
        for (const column of columns) column.append(row);
        if (++waiting >= writeRows) await flush();
      }
    },
    end: flush,
    close() {
      opened?.close();
      database.close();
    },
  };
}

/**
 * Lance data sets for LanceDB and pylance: `lance/images_0.lance` and `lance/regions_0.lance`, which are tables of the database
 * `lance`. Columns are those of Parquet; vectors are lists of a fixed size, as vector indices need them. The library names its
 * files at random, so that two runs give equal rows in unequal files.
 * @throws ExtractError `bad_option` if the library is not installed
 */
export async function openLance(): Promise<ShardFormat> {
  const lance = await loadLance();
  return (setup) => lanceShard(lance, setup);
}

async function lanceShard(
  lance: Awaited<ReturnType<typeof loadLance>>,
  { out, shard, tables, dtype, model }: ShardSetup,
): Promise<ShardWriter> {
  const opened: { readonly name: TableSpec['name']; readonly table: LanceTable }[] = [];
  const files: StagedFolder[] = [];
  const close = (): void => {
    for (const { table } of opened.splice(0)) table.close();
  };
  try {
    for (const table of tables) {
      const folder = await stageFolder(out, `lance/${table.name}_${shard}.lance`);
      files.push(folder);
      const columns = columnsOf(lance.arrow, table, dtype, model);
      opened.push({ name: table.name, table: await lanceTable(lance, folder, table, columns) });
    }
  } catch (error) {
    close();
    for (const folder of files) await folder.abandon();
    throw error;
  }
  return {
    files,
    append: (name, rows) => opened.find((each) => each.name === name)!.table.append(rows),
    async end() {
      for (const { table } of opened) await table.end();
      close();
    },
    abandon: close,
  };
}
