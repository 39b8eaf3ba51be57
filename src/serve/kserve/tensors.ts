import type { InferTensorContents__Output } from '../../proto/generated/inference/InferTensorContents.js';
import type { _inference_ModelInferRequest_InferInputTensor__Output as InputTensor } from '../../proto/generated/inference/ModelInferRequest.js';
import type { Image__Output } from '../../proto/generated/vicregl/v1/Image.js';
import { invalid } from '../api/wire/fields.js';
import { quoted } from '../call/quoted.js';
import { overLimit, type ServeLimits } from '../config/serveLimits.js';
import { fieldName } from './errorText.js';

/** The inputs of every model: each is a way to send images. */

/** The source of one image. */
type ImageSource = Pick<Image__Output, 'encoded' | 'raw' | 'source'>;

/** An input as metadata describe it. */
interface InputKind {
  readonly datatype: string;
  /** Length of each dimension; -1 for one that requests decide. */
  readonly shape: readonly number[];
  /** The field of typed contents for the datatype. */
  readonly contents: keyof InferTensorContents__Output;
}

export const inputs = {
  image: { datatype: 'BYTES', shape: [-1], contents: 'bytesContents' },
  pixels: { datatype: 'UINT8', shape: [-1, -1, -1, 3], contents: 'uintContents' },
} as const satisfies Readonly<Record<string, InputKind>>;

export type InputName = keyof typeof inputs;

/** Bytes of the length in front of each element of a BYTES tensor. */
const LENGTH_BYTES = 4;

const CHANNELS = 3;

/** Largest length of a dimension: the width and height of our images are 32 bits. */
const MAX_LENGTH = 2 ** 32 - 1;

const shapeText = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

/** @throws ServeError `invalid_argument` for a shape that the input cannot have, or for too many images. */
function checkShape(field: string, shape: readonly number[], kind: InputKind, limits: ImageCount): void {
  const form = shapeText(kind.shape);
  const isForm =
    shape.length === kind.shape.length && kind.shape.every((length, i) => length === -1 || length === shape[i]);
  if (!isForm) throw invalid(`${field}.shape: ${shapeText(shape.slice(0, 8))} does not have the form ${form}`);
  const wrong = shape.find((length) => !Number.isInteger(length) || length < 1 || length > MAX_LENGTH);
  if (wrong !== undefined)
    throw invalid(`${field}.shape: ${shapeText(shape)} has a length of ${wrong}; send at least 1`);
  if (shape[0]! > limits.batchRequests) {
    throw invalid(
      `${field}.shape: ${shape[0]} images are ${overLimit(limits, 'batchRequests')}; send the others in further requests`,
    );
  }
}

type ImageCount = Pick<ServeLimits, 'batchRequests'>;

/** The fields of typed contents that have elements. */
function filledIn(contents: InferTensorContents__Output | null): (keyof InferTensorContents__Output)[] {
  const fields = Object.entries(contents ?? {}) as [keyof InferTensorContents__Output, unknown[]][];
  return fields.filter(([, elements]) => elements.length > 0).map(([name]) => name);
}

/**
 * The elements of a BYTES tensor in raw form.
 * @throws ServeError `invalid_argument` for a number of elements other than `count`, and for bytes that do not end with an element.
 */
function rawElements(raw: Buffer, count: number): Buffer[] {
  const field = 'raw_input_contents[0]';
  const elements: Buffer[] = [];
  let at = 0;
  while (at < raw.length) {
    if (elements.length === count) {
      throw invalid(
        `${field}: ${raw.length - at} bytes follow the ${count} elements of the shape; send as many elements as the shape says`,
      );
    }
    const start = at + LENGTH_BYTES;
    if (start > raw.length) {
      throw invalid(
        `${field}: element ${elements.length} begins with ${raw.length - at} bytes; each element needs its length in 4 bytes, little-endian`,
      );
    }
    const length = raw.readUInt32LE(at);
    if (start + length > raw.length) {
      throw invalid(
        `${field}: element ${elements.length} has a length of ${length} bytes, and ${raw.length - start} are left; ` +
          'the length in front of each element has 4 bytes, little-endian',
      );
    }
    elements.push(raw.subarray(start, start + length));
    at = start + length;
  }
  if (elements.length < count) {
    throw invalid(`${field}: ${elements.length} elements, and the shape says ${count}; send as many as the shape says`);
  }
  return elements;
}

/** @throws ServeError `invalid_argument` naming the first number that is not a byte. */
function bytesOf(numbers: readonly number[], field: string): Buffer {
  const bytes = Buffer.allocUnsafe(numbers.length);
  for (let i = 0; i < numbers.length; i++) {
    const number = numbers[i]!;
    if (number > 255) throw invalid(`${field}[${i}]: ${number} is no UINT8; send 0 to 255`);
    bytes[i] = number;
  }
  return bytes;
}

/** Where the elements of an input are. */
type Elements = { readonly raw: Buffer } | { readonly contents: InferTensorContents__Output };

/**
 * The one form in which the elements of an input are given.
 * @throws ServeError `invalid_argument` for none, for both forms, and for contents of another datatype.
 */
function elementsOf(field: string, { contents }: InputTensor, raw: Buffer | undefined, kind: InputKind): Elements {
  const filled = filledIn(contents);
  const right = fieldName(kind.contents);
  if (raw !== undefined) {
    if (filled.length === 0) return { raw };
    throw invalid(`${field}.contents: given together with raw_input_contents; send one of the two`);
  }
  const wrong = filled.find((name) => name !== kind.contents);
  if (wrong !== undefined) {
    throw invalid(`${field}.contents.${fieldName(wrong)}: not the field for ${kind.datatype}; use ${right}`);
  }
  if (contents === null || filled.length === 0) {
    throw invalid(`${field}: no contents; send raw_input_contents, or ${field}.contents.${right}`);
  }
  return { contents };
}

/** @throws ServeError `invalid_argument`, also from the other checks of the input. */
function readFiles(field: string, [count]: readonly number[], elements: Elements): ImageSource[] {
  let files: readonly Buffer[];
  if ('raw' in elements) files = rawElements(elements.raw, count!);
  else {
    files = elements.contents.bytesContents;
    if (files.length !== count) {
      throw invalid(`${field}.contents.bytes_contents: ${files.length} elements, and the shape says ${count}`);
    }
  }
  return files.map((encoded) => ({ encoded, source: 'encoded' }));
}

function readPixels(field: string, shape: readonly number[], elements: Elements): ImageSource[] {
  const [count, height, width] = shape as [number, number, number];
  // Exact as long as it may be right: messages are far below 2^53 bytes.
  const expected = count * height * width * CHANNELS;
  const given = 'raw' in elements ? elements.raw.length : elements.contents.uintContents.length;
  if (given !== expected) {
    const what = 'raw' in elements ? 'raw_input_contents[0]' : `${field}.contents.uint_contents`;
    throw invalid(`${what}: ${given} bytes, and ${shapeText(shape)} of UINT8 are ${expected}`);
  }
  const bytes =
    'raw' in elements ? elements.raw : bytesOf(elements.contents.uintContents, `${field}.contents.uint_contents`);
  const each = expected / count;
  return Array.from({ length: count }, (_, i) => ({
    raw: { width, height, rgb: bytes.subarray(i * each, (i + 1) * each) },
    source: 'raw',
  }));
}

/** @throws ServeError `invalid_argument` naming the inputs. */
export function inputNameOf(name: string): InputName {
  if (Object.hasOwn(inputs, name)) return name as InputName;
  const known = Object.entries(inputs).map(([own, { datatype, shape }]) => `${own} (${datatype} ${shapeText(shape)})`);
  throw invalid(`inputs[0].name: ${quoted(name)} is not an input; there are ${known.join(' and ')}`);
}

/**
 * The images of an input. They are views of the message.
 * @param input `inputs[0]` of the request
 * @param raw its element of raw_input_contents, if the request has any
 * @throws ServeError `invalid_argument` naming the field, the value and what to send.
 */
export function readImages(input: InputTensor, raw: Buffer | undefined, limits: ImageCount): ImageSource[] {
  const field = 'inputs[0]';
  const name = inputNameOf(input.name);
  const kind: InputKind = inputs[name];
  if (input.datatype !== kind.datatype) {
    throw invalid(`${field}.datatype: ${quoted(input.datatype)} is not the datatype of ${name}; send ${kind.datatype}`);
  }
  checkShape(field, input.shape, kind, limits);
  const elements = elementsOf(field, input, raw, kind);
  return name === 'image' ? readFiles(field, input.shape, elements) : readPixels(field, input.shape, elements);
}
