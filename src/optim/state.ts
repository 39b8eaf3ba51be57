import { ZEROS } from '../nn/layers.js';
import { initialise, type ParameterSpec } from '../nn/parameters.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Optimizer } from './optimizer.js';

/** A tensor that persists between steps and is saved in checkpoints. */
export interface StateSpec extends ParameterSpec {
  /** The parameter whose initial value it has, in place of its own initialiser. */
  readonly startsAt?: ParameterSpec;
}

/** Name of an optimizer's state tensor of a parameter. */
export const stateName = (slot: string, parameter: string): string => `${slot}/${parameter}`;

/** Name of the output that holds an input's value after the step. */
export const updatedName = (input: string): string => `${input}/updated`;

/** Everything a checkpoint holds: parameters, their optimizer state, running statistics. */
export function stateSpecs(
  {
    parameters,
    buffers,
  }: { readonly parameters: readonly ParameterSpec[]; readonly buffers: readonly ParameterSpec[] },
  { optimizer }: { readonly optimizer: Optimizer },
): StateSpec[] {
  const copies = new Set(optimizer.slotsFromParameter);
  const slots = parameters.flatMap((parameter) =>
    optimizer.slots.map((slot) => ({
      name: stateName(slot, parameter.name),
      shape: parameter.shape,
      initialiser: ZEROS,
      ...(copies.has(slot) && { startsAt: parameter }),
    })),
  );
  return [...parameters, ...slots, ...buffers];
}

/** The state in which training starts: `initial`'s, then what starts at a parameter's value, then the initialisers'. */
export function startState(
  specs: readonly StateSpec[],
  { initial, seed }: { readonly initial: ReadonlyMap<string, Tensor>; readonly seed: number },
): Map<string, Tensor> {
  const state = new Map<string, Tensor>();
  for (const spec of specs) {
    const { name, startsAt } = spec;
    // Parameters come before the state that starts at them. A copy, since the steps write into the state's tensors.
    const parameter = startsAt && state.get(startsAt.name);
    const start = parameter && { ...parameter, data: parameter.data.slice() };
    state.set(name, initial.get(name) ?? start ?? initialise(spec, seed));
  }
  return state;
}
