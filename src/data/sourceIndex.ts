/** Where the encoded bytes of a source's images lie; plain data, so that it can be sent to a worker thread. */
type Storage =
  /** Item i is the file root/names[i]. */
  | { readonly kind: 'files'; readonly root: string }
  /** Item i is sizes[i] bytes at offsets[i] of the file. */
  | { readonly kind: 'tar'; readonly path: string; readonly offsets: Float64Array; readonly sizes: Float64Array }
  /** Item i is sizes[i] bytes at offsets[i] of memory that all threads share. */
  | {
      readonly kind: 'memory';
      readonly bytes: SharedArrayBuffer;
      readonly offsets: Float64Array;
      readonly sizes: Float64Array;
    };

/** The images of a source in their order (by name), and where they lie. */
export interface SourceIndex {
  /** Paths from the root of the folder or archive, with / between the parts. */
  readonly names: readonly string[];
  readonly storage: Storage;
}
