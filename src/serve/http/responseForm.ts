import type protobuf from 'protobufjs';
import { messageToJson } from '../../proto/json/toJson.js';
import { encodeNpy } from '../../tensor/npy.js';
import { tensor } from '../../tensor/tensor.js';
import { ServeError } from '../call/serveError.js';
import { preferredType } from '../operations/accept.js';
import { storedZip } from './storedZip.js';
import { type NamedTensor, takeTensors } from './tensors.js';

const JSON_TYPE = 'application/json';
const NPY_TYPE = 'application/octet-stream';
const NPZ_TYPE = 'application/zip';

/** A response as it is sent. */
export interface Payload {
  readonly body: string | Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** Makes a payload of an encoded response message. @throws ServeError `not_acceptable` */
export type ResponseForm = (encoded: Buffer) => Payload;

function json(type: protobuf.Type): ResponseForm {
  return (encoded) => ({
    body: JSON.stringify(messageToJson(type, encoded)),
    headers: { 'content-type': `${JSON_TYPE}; charset=utf-8` },
  });
}

/** JSON for a header, in which only ASCII is allowed. */
function headerJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function npy({ dtype, shape, data }: NamedTensor): Uint8Array {
  return encodeNpy(tensor(dtype, shape, data));
}

/** The one tensor of a response as a .npy file; its grid and model are in the header `vicregl-response`. */
function oneArray(type: protobuf.Type): ResponseForm {
  return (encoded) => {
    const { tensors, rest } = takeTensors(type, encoded);
    const [only] = tensors;
    if (only === undefined || tensors.length > 1) {
      const names = tensors.map(({ name }) => name).join(', ');
      throw new ServeError(
        'not_acceptable',
        `the response has ${tensors.length} arrays (${names}), and a .npy file has one; send "accept: ${NPZ_TYPE}" for a .npz file`,
      );
    }
    const { grid, model } = rest;
    return {
      body: npy(only),
      headers: { 'content-type': NPY_TYPE, 'vicregl-response': headerJson({ ...(grid ? { grid } : {}), model }) },
    };
  };
}

/** All tensors of a response in a .npz file, and the rest of it in its member `response.json`. */
function allArrays(type: protobuf.Type): ResponseForm {
  return (encoded) => {
    const { tensors, rest } = takeTensors(type, encoded);
    const members = tensors.map((each) => ({ name: `${each.name}.npy`, data: npy(each) }));
    const described = { name: 'response.json', data: Buffer.from(JSON.stringify(rest)) };
    return { body: storedZip([...members, described]), headers: { 'content-type': NPZ_TYPE } };
  };
}

/**
 * The form of a response by the header `accept`.
 * @param numpy whether the response has tensors, which are also sent as NumPy files
 * @throws ServeError `not_acceptable` naming the forms
 */
export function responseForm(type: protobuf.Type, accept: string | undefined, numpy: boolean): ResponseForm {
  const forms = new Map<string, ResponseForm>([
    [JSON_TYPE, json(type)],
    ...(numpy
      ? ([
          [NPY_TYPE, oneArray(type)],
          ['application/x-npy', oneArray(type)],
          [NPZ_TYPE, allArrays(type)],
          ['application/x-npz', allArrays(type)],
        ] as const)
      : []),
  ]);
  const found = accept === undefined ? JSON_TYPE : preferredType(accept, [...forms.keys()]);
  const form = found === undefined ? undefined : forms.get(found);
  if (form) return form;
  throw new ServeError(
    'not_acceptable',
    `the response has none of the forms ${accept?.slice(0, 100)}; accept one of ${[...forms.keys()].join(', ')}`,
  );
}
