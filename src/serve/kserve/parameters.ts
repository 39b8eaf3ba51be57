import type { InferParameter__Output } from '../../proto/generated/inference/InferParameter.js';
import { invalid } from '../api/wire/fields.js';
import { quoted } from '../call/quoted.js';
import { fieldName } from './errorText.js';

/** Reads the parameters of requests, inputs and outputs. */

/** Parameters as a message has them. */
export type Parameters = Readonly<Record<string, InferParameter__Output>>;

/** The type of a parameter's value. */
type Kind = 'text' | 'truth' | 'count';

interface Values {
  readonly text: string;
  readonly truth: boolean;
  readonly count: number;
}

/** The fields of a value that a kind accepts. */
const fieldsOf: Readonly<Record<Kind, readonly NonNullable<InferParameter__Output['parameterChoice']>[]>> = {
  text: ['stringParam'],
  truth: ['boolParam'],
  count: ['int64Param', 'uint64Param'],
};

/** Every parameter of the service with its kind. */
export const parameterKinds = {
  resize: 'text',
  space: 'text',
  l2_normalize: 'truth',
  datatype: 'text',
  stage: 'count',
} as const satisfies Readonly<Record<string, Kind>>;

export type ParameterName = keyof typeof parameterKinds;

/** The values of parameters. */
export type Options<Name extends ParameterName = ParameterName> = {
  readonly [N in Name]?: Values[(typeof parameterKinds)[N]];
};

function readValue(field: string, kind: Kind, parameter: InferParameter__Output): Values[Kind] {
  const { parameterChoice: given } = parameter;
  const accepted = fieldsOf[kind];
  if (given === undefined || !accepted.includes(given)) {
    const what = given === undefined ? 'has no value' : `is a ${fieldName(given)}`;
    throw invalid(`${field}: ${what}; send a ${accepted.map(fieldName).join(' or a ')}`);
  }
  const value = parameter[given]!;
  if (kind === 'count' && !(Number.isSafeInteger(value) && Number(value) >= 0)) {
    throw invalid(`${field}: ${value} is not a number from 0`);
  }
  return value;
}

/**
 * Reads parameters.
 * @param field name of the map in the request, for errors
 * @param allowed the parameters that the map may have
 * @throws ServeError `invalid_argument` for an unknown parameter, and for a value of another type.
 */
export function readParameters<Name extends ParameterName>(
  field: string,
  parameters: Parameters,
  allowed: readonly Name[],
): Options<Name> {
  const entries = Object.entries(parameters).map(([name, parameter]) => {
    const at = `${field}[${quoted(name)}]`;
    const known = allowed.find((each) => each === name);
    if (known === undefined) throw invalid(`${at}: no such parameter; there are ${allowed.join(', ')}`);
    return [known, readValue(at, parameterKinds[known], parameter)] as const;
  });
  return Object.fromEntries(entries) as Options<Name>;
}
