import type { ReceivedTensor } from '../../client/tensor.js';
import type { Box } from '../../image/types.js';
import type { CoveredPart, OutputSpec, Wanted } from '../features.js';
import type { Staged } from '../stagedFile.js';

/** One row of a table: an image, or a region of one. */
export interface Row {
  /** Name of the image in the source. */
  readonly path: string;
  /** Size of the original in pixels. */
  readonly width: number;
  readonly height: number;
  readonly covered?: CoveredPart;
  /** The region, in pixels of the original, with its number in the file of boxes, from 0. */
  readonly region?: Box & { readonly index: number; readonly coverage: number };
  /** One value for each output of the table, in their order: [D] or [h, w, C]. */
  readonly values: readonly ReceivedTensor[];
}

/** Rows of one kind. `images` has the embeddings and maps, `regions` the vectors that are pooled over regions. */
export interface TableSpec {
  readonly name: 'images' | 'regions';
  readonly outputs: readonly OutputSpec[];
}

/** What a shard's files describe. */
export interface ShardSetup {
  /** The output folder. */
  readonly out: string;
  /** Number of the shard as in names of files. */
  readonly shard: string;
  readonly tables: readonly TableSpec[];
  readonly dtype: Wanted['dtype'];
  /** `name@version` of the model. */
  readonly model: string;
  /** Whether all maps of a stage have one size. */
  readonly oneSize: boolean;
}

/** Writes the files of one shard, row after row, in memory that does not grow with the rows. */
export interface ShardWriter {
  append(table: TableSpec['name'], rows: readonly Row[]): Promise<void>;
  /** Writes what is left, and ends the content of the files. */
  end(): Promise<void>;
  /** Frees what the writer holds, if the shard is given up. */
  abandon?(): void;
  /** The files, to be finished and renamed by the caller. */
  readonly files: readonly Staged[];
}

/** Begins a shard. */
export type ShardFormat = (setup: ShardSetup) => Promise<ShardWriter>;

/** The tables of the outputs; a table without outputs has no rows and no files. */
export function tablesOf(outputs: readonly OutputSpec[]): TableSpec[] {
  const tables: TableSpec[] = [
    { name: 'images', outputs: outputs.filter(({ kind }) => kind !== 'regions') },
    { name: 'regions', outputs: outputs.filter(({ kind }) => kind === 'regions') },
  ];
  return tables.filter(({ outputs: [first] }) => first !== undefined);
}
