import { npyHeader } from '../../tensor/npy.js';
import { tensorBytes } from '../../tensor/tensor.js';
import type { OutputSpec } from '../features.js';
import { type StagedFile, stageFile } from '../stagedFile.js';
import { describingColumns } from './columns.js';
import { type ParquetTable, parquetTable } from './parquetTable.js';
import type { ShardFormat, TableSpec } from './shardWriter.js';

/** Bytes of the header of an array whose number of rows is not known yet; fits any shape of four numbers. */
const HEADER_BYTES = 128;
const GROUP_ROWS = 10_000;

/** Folder and file prefix of an output: that of clip-retrieval for embeddings. */
const prefixOf = ({ name }: OutputSpec): string => (name === 'embedding' ? 'img_emb' : name);
const metadataOf = ({ name }: TableSpec): string => (name === 'images' ? 'metadata' : 'metadata_regions');

/** An array whose rows are appended. */
interface GrowingArray {
  append(bytes: Uint8Array, shape: readonly number[]): Promise<void>;
  end(): Promise<void>;
}

async function growingArray(
  file: StagedFile,
  dtype: 'float32' | 'float16' | 'int8',
  emptyShape: readonly number[],
): Promise<GrowingArray> {
  await file.append(npyHeader(dtype, [0, ...emptyShape], HEADER_BYTES));
  let rowShape: readonly number[] | undefined;
  let count = 0;
  return {
    async append(bytes, shape) {
      rowShape ??= shape;
      if (rowShape.join() !== shape.join()) {
        throw new Error(
          `a map of [${shape.join(', ')}] does not fit an array of [${rowShape.join(', ')}]; use --format hdf5 for maps of different sizes`,
        );
      }
      await file.append(bytes);
      count++;
    },
    end: () => file.rewriteStart(npyHeader(dtype, [count, ...(rowShape ?? emptyShape)], HEADER_BYTES)),
  };
}

/** The values of one output, and with int8 their scales. */
interface ValueArrays {
  readonly values: GrowingArray;
  readonly scales?: GrowingArray;
}

interface TableWriter {
  readonly described: ReturnType<typeof describingColumns>;
  readonly metadata: ParquetTable;
  readonly arrays: readonly ValueArrays[];
}

/**
 * NumPy arrays in the layout of clip-retrieval: `img_emb/img_emb_0.npy` [rows, D] and `metadata/metadata_0.parquet`, whose row i
 * describes row i of the array. Maps are `features/features_0.npy` [rows, h, w, C] and `stage1/...`; they have one size. Vectors
 * pooled over regions are [rows, C], described by `metadata_regions/...`. With int8, value = element * scale, and the scales of
 * `img_emb` are `img_emb_scale/img_emb_scale_0.npy`, one for each vector.
 */
export const npyShard: ShardFormat = async ({ out, shard, tables, dtype, model }) => {
  const files: StagedFile[] = [];
  const stage = async (name: string, extension: string): Promise<StagedFile> => {
    const file = await stageFile(out, `${name}/${name}_${shard}.${extension}`);
    files.push(file);
    return file;
  };
  try {
    const writers = new Map<TableSpec['name'], TableWriter>();
    // One after the other, so that the record of the shard lists the files in one order.
    for (const table of tables) {
      const described = describingColumns(table);
      const columns = described.map(([column]) => column);
      const metadata = parquetTable(await stage(metadataOf(table), 'parquet'), columns, GROUP_ROWS, { model });
      const arrays: ValueArrays[] = [];
      for (const output of table.outputs) {
        const empty = output.kind === 'map' ? [0, 0, output.channels] : [output.channels];
        const values = await growingArray(await stage(prefixOf(output), 'npy'), dtype, empty);
        const scaled = dtype === 'int8' ? await stage(`${prefixOf(output)}_scale`, 'npy') : undefined;
        arrays.push({ values, ...(scaled && { scales: await growingArray(scaled, 'float32', empty.slice(0, -1)) }) });
      }
      writers.set(table.name, { described, metadata, arrays });
    }
    return {
      files,
      async append(table, rows) {
        const { described, metadata, arrays } = writers.get(table)!;
        await metadata.append(rows.map((row) => described.map(([, value]) => value(row))));
        for (const { values } of rows) {
          for (const [i, value] of values.entries()) {
            const { values: array, scales } = arrays[i]!;
            await array.append(tensorBytes(value), value.shape);
            if (scales === undefined || !('scales' in value)) continue;
            const { buffer, byteOffset, byteLength } = value.scales;
            await scales.append(new Uint8Array(buffer, byteOffset, byteLength), value.shape.slice(0, -1));
          }
        }
      },
      async end() {
        for (const { metadata, arrays } of writers.values()) {
          await metadata.end();
          for (const { values, scales } of arrays) {
            await values.end();
            await scales?.end();
          }
        }
      },
    };
  } catch (error) {
    for (const file of files) await file.abandon();
    throw error;
  }
};
