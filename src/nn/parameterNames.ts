/**
 * What a backbone family knows of its parameters in checkpoints: their names in other libraries, and the network that
 * names and shapes imply. Our own names are those of the authors' checkpoints. Files are read in src/models and
 * src/checkpoint.
 */

/** Whose names the parameters of a checkpoint have. */
export type NamedBy = 'authors' | 'timm' | 'torchvision';

/** Pairs of a library's name and ours, up to `.weight` or `.bias`; `#` means a number. */
export type NameTemplates = readonly (readonly [theirs: string, ours: string])[];

/** The names of a family's parameters in one library. */
export interface ParameterNaming {
  readonly by: NamedBy;
  /** Full name of a parameter that every such backbone has and no other. */
  readonly signature: string;
  /** Matches the names that belong to the backbone if it is at the top level of a file, possibly with other tensors. */
  readonly own: RegExp;
  /** Absent if the names are ours. */
  readonly templates?: NameTemplates;
}

/** The shape of a parameter by our name, without prefix; undefined if the checkpoint has none. */
export type ShapeOf = (name: string) => readonly number[] | undefined;

/** What the pooling order of a checkpoint is inferred from. */
export interface PoolingEvidence {
  readonly by: NamedBy;
  /** Whether a linear classifier of the representation comes with the backbone. */
  readonly hasClassifier: boolean;
  /** Key of the checkpoint for one of our names, without prefix on our side; undefined if it has none. */
  keyOf(name: string): string | undefined;
}

/** How the networks of a family are found in checkpoints. */
export interface CheckpointNames<C> {
  readonly namings: readonly ParameterNaming[];
  /**
   * The network whose parameters have these names and shapes. Sizes may be 0, or not fit each other, where the
   * checkpoint contradicts itself.
   */
  infer(shapeOf: ShapeOf): C;
  /** The shape of a parameter as we have it, where a library adds axes of size 1. Absent: shapes are the same. */
  plainShape?(name: string, shape: readonly number[]): readonly number[];
  /** Whether the checkpoint's network normalises the mean of the map, not the map. Absent: never. */
  normalisesMean?(evidence: PoolingEvidence): boolean;
}

/** How many consecutive numbers from 0 on satisfy a predicate, such as the blocks of a stage. */
export function countFromZero(holds: (index: number) => boolean): number {
  let count = 0;
  while (holds(count)) count++;
  return count;
}
