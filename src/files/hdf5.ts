import h5wasm from 'h5wasm/node';

/** What every user of the HDF5 library needs, so that its files are whole or not there, and the same in every run. */

/** Waits until the library can be used. A failed write throws then; else it would be a message on stderr and a damaged file. */
export async function hdf5Ready(): Promise<void> {
  (await h5wasm.ready).activate_throwing_error_handler();
}

/** Runs work of the library with a clock that stands still: HDF5 writes times of creation, which would differ in every run. */
export function timeless<T>(work: () => T): T {
  const { now } = Date;
  Date.now = () => 0;
  try {
    return work();
  } finally {
    Date.now = now;
  }
}

/** The reason in HDF5's error stack, which has the system's message at its end; undefined for other errors. */
export function hdf5Reason(cause: unknown): string | undefined {
  const text = cause instanceof Error ? cause.message : String(cause);
  if (!text.includes('HDF5-DIAG')) return undefined;
  return /error message = '([^']+)'/.exec(text)?.[1] ?? text.split('\n', 2).join(' ');
}
