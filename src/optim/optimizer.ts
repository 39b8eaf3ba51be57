import type { Value } from '../onnx/graph.js';

/** An optimizer as graph nodes: what it keeps per parameter, what changes per step, and one update. */
export interface Optimizer {
  /** Names of the state tensors of each parameter, of its shape and starting at zero. */
  readonly slots: readonly string[];
  /** Those slots that start at the parameter's own value instead. */
  readonly slotsFromParameter?: readonly string[];
  /** Names of the scalars that change from step to step: graph inputs. */
  readonly scalars: readonly string[];
  /** Their values at a step counted from 0. */
  scalarValues(step: number, learningRate: number): Readonly<Record<string, number>>;
  /** Emits one update; `state` and `scalars` are keyed by the names above. */
  update(
    parameter: Value,
    gradient: Value,
    state: Readonly<Record<string, Value>>,
    scalars: Readonly<Record<string, Value>>,
  ): { readonly parameter: Value; readonly state: Readonly<Record<string, Value>> };
}
