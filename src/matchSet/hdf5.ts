import { open } from 'node:fs/promises';
import h5wasm, { type Group } from 'h5wasm/node';
import { hdf5Ready, hdf5Reason, timeless } from '../files/hdf5.js';
import { writeWholeFile } from './wholeFile.js';

/** An error of HDF5 with the path and the reason; other errors unchanged. */
function plainError(path: string, cause: unknown): unknown {
  const reason = hdf5Reason(cause);
  return reason === undefined ? cause : new Error(`${path}: ${reason}`, { cause });
}

/** Runs work on a file that is written. */
function guarded<T>(path: string, work: () => T): T {
  try {
    return timeless(work);
  } catch (cause) {
    throw plainError(path, cause);
  }
}

/** A file that is being written. */
export interface Hdf5Writer {
  /** Works with the open file; must not be asynchronous. */
  write(work: (root: Group) => void): void;
}

/**
 * Writes an HDF5 file beside its place, syncs it, and renames it: at every moment there is the whole file or none.
 * @throws Error with the path and the system's reason if it cannot be written; the temporary file is removed.
 */
export async function writeHdf5(path: string, fill: (writer: Hdf5Writer) => Promise<void>): Promise<void> {
  await hdf5Ready();
  await writeWholeFile(path, async (temporary) => {
    const file = guarded(temporary, () => new h5wasm.File(temporary, 'w'));
    try {
      await fill({ write: (work) => guarded(temporary, () => work(file)) });
    } catch (error) {
      try {
        file.close();
      } catch {
        // It could not be written anyway.
      }
      throw error;
    }
    guarded(temporary, () => file.close());
  });
}

/** A file that is being read. */
export interface Hdf5Reader {
  readonly root: Group;
  close(): void;
}

/** @throws Error with the path if it is no HDF5 file. */
export async function readHdf5(path: string): Promise<Hdf5Reader> {
  await hdf5Ready();
  // Node's error names the path and the reason; that of HDF5 does not.
  await (await open(path, 'r')).close();
  try {
    const file = new h5wasm.File(path, 'r');
    return { root: file, close: () => void file.close() };
  } catch (cause) {
    throw plainError(path, cause);
  }
}

/** The group of a name with slashes; the groups between are created. */
export function groupAt(root: Group, name: string): Group {
  let group = root;
  for (const part of name.split('/')) {
    // Not by `keys`, which lists all groups.
    group = (group.get(part) as Group | null) ?? group.create_group(part);
  }
  return group;
}

/** Writes a data set of numbers. */
export function writeNumbers(
  group: Group,
  name: string,
  shape: readonly number[],
  data: Float32Array | Int32Array,
): void {
  group.create_dataset({ name, data, shape: [...shape], dtype: data instanceof Int32Array ? '<i' : '<f' });
}
