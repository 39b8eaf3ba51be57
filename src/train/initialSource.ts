/** The source of a run's initial weights, as recorded in its environment.json and its exports. */
export interface InitialSource {
  /** Checkpoint file, or manifest of the model folder, with its folder if that has a name of its own. */
  readonly file: string;
  readonly sha256: string;
  /** Prefix of the names of the backbone's weights. */
  readonly prefix?: string;
  readonly license: string;
  /** Tensors that were taken, by part of the network. */
  readonly taken: Readonly<Record<string, number>>;
  /** Parts of the network that were initialised randomly, and why. */
  readonly drawn: readonly { readonly name: string; readonly reason: string }[];
  /** Given weights that the network does not use. */
  readonly unused: readonly { readonly name: string; readonly tensors: number; readonly reason?: string }[];
}
