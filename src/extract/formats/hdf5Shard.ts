import h5wasm, { type Dataset, type Group } from 'h5wasm/node';
import { hdf5Ready, hdf5Reason, timeless } from '../../files/hdf5.js';
import { OutputError } from '../../files/output.js';
import type { OutputSpec } from '../features.js';
import { stageFile } from '../stagedFile.js';
import { describingColumns } from './columns.js';
import type { Row, ShardFormat, TableSpec } from './shardWriter.js';

const dtypes = { float32: '<f', int8: '<b' } as const;
const scalars = {
  int32: { dtype: '<i', array: Int32Array },
  float: { dtype: '<f', array: Float32Array },
  double: { dtype: '<d', array: Float64Array },
} as const;
/** Bytes of a chunk of vectors; HDF5's cache holds 1 MiB of chunks. */
const CHUNK_BYTES = 2 ** 18;
/** Rows of a chunk of single numbers. */
const SCALAR_ROWS = 4096;

type Numbers = Float32Array | Float64Array | Int32Array | Int8Array;

/** An error of HDF5 with the path and the reason; other errors unchanged. */
function writeError(path: string, cause: unknown): unknown {
  const reason = hdf5Reason(cause);
  return reason === undefined ? cause : new OutputError(`--out: ${path} cannot be written: ${reason}`, { cause });
}

/** Rows that are appended to a data set [rows, ...shape], a chunk at a time. */
interface Appended {
  append(numbers: Numbers): void;
  end(): void;
}

function appended(
  group: Group,
  name: string,
  shape: readonly number[],
  dtype: '<f' | '<b' | '<i' | '<d',
  chunkRows: number,
): Appended {
  const Constructor = { '<f': Float32Array, '<b': Int8Array, '<i': Int32Array, '<d': Float64Array }[dtype];
  const numbers = shape.reduce((product, length) => product * length, 1);
  const set: Dataset = group.create_dataset({
    name,
    data: new Constructor(0),
    shape: [0, ...shape],
    maxshape: [null, ...shape],
    chunks: [chunkRows, ...shape],
    dtype,
  });
  const chunk = new Constructor(chunkRows * numbers);
  let [written, waiting] = [0, 0];
  const flush = (): void => {
    if (waiting === 0) return;
    set.resize([written + waiting, ...shape]);
    const ranges = [[written, written + waiting], ...shape.map((length) => [0, length])] as [number, number][];
    set.write_slice(ranges, chunk.slice(0, waiting * numbers));
    written += waiting;
    waiting = 0;
  };
  return {
    append(row) {
      chunk.set(row, waiting * numbers);
      if (++waiting === chunkRows) flush();
    },
    end: flush,
  };
}

/** The values of one output: a data set, or a group of maps by row where their sizes differ. */
function outputValues(
  group: Group,
  { name, kind, stride, channels }: OutputSpec,
  dtype: '<f' | '<b',
  oneSize: boolean,
) {
  const width = dtype === '<f' ? 4 : 1;
  let sets: { readonly values: Appended; readonly scales?: Appended } | undefined;
  let maps: { readonly values: Group; readonly scales?: Group } | undefined;
  let row = 0;
  const scaled = dtype === '<b';

  const open = (shape: readonly number[]) => {
    const bytes = width * shape.reduce((product, length) => product * length, 1);
    const chunkRows = Math.max(1, Math.floor(CHUNK_BYTES / bytes));
    const opened = {
      values: appended(group, name, shape, dtype, chunkRows),
      ...(scaled && { scales: appended(group, `${name}_scale`, shape.slice(0, -1), '<f', chunkRows) }),
    };
    if (stride !== undefined) (group.get(name) as Dataset).create_attribute('stride', stride, null, '<i');
    return opened;
  };
  const openGroups = () => {
    const values = group.create_group(name);
    values.create_attribute('stride', stride!, null, '<i');
    return { values, ...(scaled && { scales: group.create_group(`${name}_scale`) }) };
  };
  return {
    append(value: Row['values'][number]): void {
      const scales = 'scales' in value ? value.scales : undefined;
      if (kind === 'map' && !oneSize) {
        maps ??= openGroups();
        const data = { name: String(row++), shape: [...value.shape], dtype };
        maps.values.create_dataset({ ...data, data: value.data as Float32Array });
        maps.scales?.create_dataset({ ...data, shape: value.shape.slice(0, -1), dtype: '<f', data: scales! });
        return;
      }
      sets ??= open(value.shape);
      sets.values.append(value.data as Float32Array);
      if (scales !== undefined) sets.scales!.append(scales);
    },
    end(): void {
      // Without rows, vectors have an empty data set; the size of maps is not known.
      if (kind !== 'map') sets ??= open([channels]);
      sets?.values.end();
      sets?.scales?.end();
    },
  };
}

/**
 * HDF5 files `features/features_0.h5`: data sets `embedding` [rows, D], `features` [rows, h, w, C], `stage1`, ..., and
 * `image_path`, `width`, `height` and the place of the network input in the original, row by row. Maps of different sizes are
 * data sets [h, w, C] of a group, named by the row. Vectors pooled over regions are in the group `regions`. With int8, value =
 * element * the data set `NAME_scale`.
 */
export const hdf5Shard: ShardFormat = async ({ out, shard, tables, dtype, model, oneSize }) => {
  await hdf5Ready();
  if (dtype === 'float16') throw new TypeError('HDF5 files are float32 or int8');
  const type = dtypes[dtype];
  const file = await stageFile(out, `features/features_${shard}.h5`);
  const guarded = <T>(work: () => T): T => {
    try {
      return timeless(work);
    } catch (error) {
      throw writeError(file.temporary, error);
    }
  };
  const openTable = (root: Group, table: TableSpec) => {
    const group = table.name === 'images' ? root : root.create_group(table.name);
    const described = describingColumns(table).map(([{ name, type: of }, value]) => {
      // h5wasm cannot append to variable-length strings.
      const texts: string[] | undefined = of === 'text' ? [] : undefined;
      const scalar = of === 'text' ? undefined : scalars[of as keyof typeof scalars];
      const numbers = scalar && appended(group, name, [], scalar.dtype, SCALAR_ROWS);
      return {
        append: (row: Row) => {
          if (texts) texts.push(value(row) as string);
          else numbers!.append(scalar!.array.of(value(row) as number));
        },
        end: () => {
          numbers?.end();
          if (texts !== undefined && texts.length > 0) group.create_dataset({ name, data: texts });
        },
      };
    });
    const outputs = table.outputs.map((output) => outputValues(group, output, type, oneSize));
    return { described, outputs };
  };
  try {
    const opened = guarded(() => {
      const root = new h5wasm.File(file.temporary, 'w');
      root.create_attribute('model', model);
      return { root, tables: new Map(tables.map((table) => [table.name, openTable(root, table)])) };
    });
    return {
      files: [file],
      abandon() {
        try {
          guarded(() => opened.root.close());
        } catch {
          // It was closed, or what it still held cannot be written either.
        }
      },
      async append(table, rows) {
        const { described, outputs } = opened.tables.get(table)!;
        guarded(() => {
          for (const row of rows) {
            for (const column of described) column.append(row);
            for (const [i, value] of row.values.entries()) outputs[i]!.append(value);
          }
        });
      },
      async end() {
        guarded(() => {
          for (const { described, outputs } of opened.tables.values()) {
            for (const part of [...described, ...outputs]) part.end();
          }
          opened.root.flush();
          opened.root.close();
        });
      },
    };
  } catch (error) {
    await file.abandon();
    throw error;
  }
};
