import { VicreglError } from './vicreglError.js';

/** Protocol names of the options' values. */
export const dataTypes = {
  float32: 'DATA_TYPE_FLOAT32',
  float16: 'DATA_TYPE_FLOAT16',
  int8: 'DATA_TYPE_INT8',
} as const;
export const globalSpaces = { backbone: 'GLOBAL_SPACE_BACKBONE', expander: 'GLOBAL_SPACE_EXPANDER' } as const;
export const localSpaces = { backbone: 'LOCAL_SPACE_BACKBONE', localProjector: 'LOCAL_SPACE_LOCAL_PROJECTOR' } as const;
export const matchDistances = {
  l2: 'MATCH_DISTANCE_L2',
  cosine: 'MATCH_DISTANCE_COSINE',
  centredCosine: 'MATCH_DISTANCE_CENTRED_COSINE',
} as const;

/**
 * The protocol's name of an option's value. Callers in JavaScript may pass any value: protobuf would silently take the default.
 * @throws VicreglError `INVALID_ARGUMENT` naming the option and its values.
 */
export function protocolName<K extends string, N>(option: string, names: Readonly<Record<K, N>>, value: K): N {
  if (Object.hasOwn(names, value)) return names[value];
  throw new VicreglError(
    'INVALID_ARGUMENT',
    `${option}: ${String(value)} is not one of ${Object.keys(names).join(', ')}`,
  );
}
