import { ExtractError } from '../extractError.js';
import type { OutputSpec, Wanted } from '../features.js';
import { npyShard } from './npyShard.js';
import { parquetShard } from './parquetShard.js';
import type { ShardFormat } from './shardWriter.js';

/** Names of the formats, in the order of --help. */
export const formatNames = ['parquet', 'npy', 'hdf5', 'lance'] as const;

export type FormatName = (typeof formatNames)[number];

interface Format {
  /** Loads what the format needs. */
  load(): Promise<ShardFormat>;
  /** Whether it has feature maps: all of one size, or of any size. */
  readonly maps: 'none' | 'one size' | 'any size';
  readonly dtypes: readonly Wanted['dtype'][];
}

const all = ['float32', 'float16', 'int8'] as const;

const formats: Readonly<Record<FormatName, Format>> = {
  parquet: { load: async () => parquetShard, maps: 'none', dtypes: all },
  npy: { load: async () => npyShard, maps: 'one size', dtypes: all },
  hdf5: {
    load: async () => (await import('./hdf5Shard.js')).hdf5Shard,
    maps: 'any size',
    // h5wasm does not write float16.
    dtypes: ['float32', 'int8'],
  },
  lance: { load: async () => (await import('./lanceShard.js')).openLance(), maps: 'none', dtypes: all },
};

/** The default: Parquet for vectors, HDF5 for maps. */
export function defaultFormat(outputs: readonly OutputSpec[]): FormatName {
  return outputs.some(({ kind }) => kind === 'map') ? 'hdf5' : 'parquet';
}

/**
 * Opens a format for the outputs.
 * @param oneSize whether all network inputs have one size, and thus all maps of a stage
 * @throws ExtractError `bad_option` for outputs that it cannot hold.
 */
export function openFormat(
  name: FormatName,
  { outputs, oneSize, dtype }: { outputs: readonly OutputSpec[]; oneSize: boolean; dtype: Wanted['dtype'] },
): Promise<ShardFormat> {
  const { load, maps, dtypes } = formats[name];
  if (!dtypes.includes(dtype)) {
    throw new ExtractError(
      'bad_option',
      `--dtype ${dtype}: the format ${name} has ${dtypes.join(' and ')}; use one of them, or another --format`,
    );
  }
  if (outputs.some(({ kind }) => kind === 'map')) {
    if (maps === 'none') {
      throw new ExtractError(
        'bad_option',
        `--format ${name}: holds vectors, not feature maps; use npy or hdf5, or pool the maps over boxes (--pool)`,
      );
    }
    if (maps === 'one size' && !oneSize) {
      throw new ExtractError(
        'bad_option',
        `--format ${name}: an array holds maps of one size, and --resize native gives maps of different sizes; use hdf5, or another --resize`,
      );
    }
  }
  return load();
}
