import protobuf from 'protobufjs';
import type { InferParameter } from '../../../src/proto/generated/inference/InferParameter.js';
import type { ModelInferRequest } from '../../../src/proto/generated/inference/ModelInferRequest.js';
import { loadInferenceService } from '../../../src/proto/load.js';
import type { RandomStream } from '../../../src/tensor/random.js';
import { ofFiles, ofPixels, rawBytes } from '../inferenceClient.js';
import {
  ANY_REFUSAL,
  bytesOf,
  damaged,
  EITHER,
  type Maker,
  type MalformedCase,
  OK,
  pick,
  REFUSED,
} from './malformedCase.js';
import { announcedBomb } from './pngBombs.js';

/** Requests of the Open Inference Protocol that are invalid, unusual or random bytes. */

const { service } = loadInferenceService();

const encode = (request: ModelInferRequest): Buffer => service.ModelInfer.requestSerialize(request);

/** Images of a request at most: all concurrent requests together fit the queue. */
const MOST_IMAGES = 3;

/** A field of a message whose value has a length. */
const field = (number: number, value: Buffer): Buffer =>
  Buffer.from(
    protobuf.Writer.create()
      .uint32((number << 3) | 2)
      .bytes(value)
      .finish(),
  );

/** Messages with more entries than the limit: numbers of one byte each, and inputs of two bytes each. */
const veryMany = {
  numbers: field(5, Buffer.concat([field(1, Buffer.from('pixels')), field(5, field(4, Buffer.alloc(2_200_000, 9)))])),
  inputs: Buffer.concat(new Array<Buffer>(140_000).fill(field(5, Buffer.alloc(0)))),
};

/** A parameter with the name that means the prototype of an object, which objects cannot hold as a key of their own. */
function withPrototypeName(request: ModelInferRequest): Buffer {
  const named = encode({ ...request, parameters: { __prota__: { boolParam: true } } });
  return Buffer.from(named.toString('latin1').replace('__prota__', '__proto__'), 'latin1');
}

const SIDE = 24;

/** Parameters that are right for every output. */
const rightParameters: readonly (readonly [string, InferParameter])[] = [
  ['space', { stringParam: 'backbone' }],
  ['l2_normalize', { boolParam: true }],
  ['datatype', { stringParam: 'FP16' }],
  ['resize', { stringParam: 'fit:16x24' }],
];

/** A value of a parameter of any type, right or wrong. */
function anyParameter(random: RandomStream): InferParameter {
  const texts = ['backbone', 'expander', 'local_projector', 'FP32', 'FP16', 'BF16', 'native', 'fit:24x24', 'fit:25x24'];
  return pick<InferParameter>(random, [
    { stringParam: pick(random, [...texts, 'shortest:64', 'shortest:1', '', 'x'.repeat(2000), '\ud800'.repeat(3)]) },
    { boolParam: random.integer(2) === 1 },
    { int64Param: pick<number | string>(random, [0, 1, 2, -1, '9223372036854775807', '-9223372036854775808']) },
    { uint64Param: pick<number | string>(random, [0, 1, '18446744073709551615']) },
    { doubleParam: pick(random, [Number.NaN, Infinity, 0.5]) },
    {},
  ]);
}

const names = ['resize', 'space', 'l2_normalize', 'datatype', 'stage', 'sequence_id', '__proto__', 'constructor', ''];

/** Some parameters of any names and types, or one that is right for every output. */
function anyParameters(random: RandomStream): NonNullable<ModelInferRequest['parameters']> {
  if (random.integer(3) === 0) return Object.fromEntries([pick(random, rightParameters)]);
  const entries = Array.from({ length: 1 + random.integer(3) }, () => [pick(random, names), anyParameter(random)]);
  return Object.fromEntries(entries) as NonNullable<ModelInferRequest['parameters']>;
}

/** Lengths of dimensions at the borders of what the service and the wire can have. */
const lengths = [0, -1, 1, 2, 3, 63, 64, 65, 2 ** 31, 2 ** 32, '9223372036854775807', '-9223372036854775808'];

/** @param pictures small images of any form that can be read @param jpeg one that is damaged by its bytes */
export function inferenceCases(pictures: readonly Buffer[], jpeg: Buffer): readonly Maker[] {
  const some = (random: RandomStream): Buffer[] =>
    Array.from({ length: 1 + random.integer(MOST_IMAGES) }, () => pick(random, pictures));
  const pixelsOf = (random: RandomStream, images: number) =>
    Buffer.alloc(images * SIDE * SIDE * 3, bytesOf(random, 1 + random.integer(9)));
  const infer = (kind: string, request: ModelInferRequest, allowed: readonly string[]): MalformedCase => ({
    ...{ kind: `ModelInfer: ${kind}`, method: 'ModelInfer', allowed },
    bytes: encode(request),
  });
  /** A request with one wrong file at any place. */
  const withOne = (kind: string, random: RandomStream, wrong: Buffer, allowed: readonly string[]): MalformedCase => {
    const files = some(random);
    files[random.integer(files.length)] = wrong;
    return infer(kind, ofFiles(files), allowed);
  };
  const valid = (random: RandomStream): ModelInferRequest =>
    pick(random, [
      () => ofFiles(some(random), { id: 'a', outputs: [{ name: 'map', parameters: { stage: { int64Param: 0 } } }] }),
      () => ofPixels([2, SIDE, SIDE, 3], pixelsOf(random, 2), { parameters: { resize: { stringParam: 'native' } } }),
      () => ({
        modelName: 'tiny',
        inputs: [{ name: 'image', datatype: 'BYTES', shape: [1], contents: { bytesContents: [jpeg] } }],
      }),
    ])();
  return [
    (random) => infer('right files', ofFiles(some(random)), OK),
    (random) => infer('right pixels', ofPixels([2, SIDE, SIDE, 3], pixelsOf(random, 2)), OK),
    (random) => {
      const contents = { uintContents: [...pixelsOf(random, 1)] };
      return infer(
        'typed pixels',
        { inputs: [{ name: 'pixels', datatype: 'UINT8', shape: [1, SIDE, SIDE, 3], contents }] },
        OK,
      );
    },
    (random) => withOne('no picture', random, bytesOf(random, random.integer(200)), REFUSED),
    (random) => withOne('truncated file', random, jpeg.subarray(0, 4 + random.integer(jpeg.length - 40)), REFUSED),
    (random) => withOne('damaged file', random, damaged(jpeg, random), EITHER),
    (random) => withOne('PNG bomb', random, announcedBomb(50_000 + random.integer(9999), 50_000), REFUSED),
    (random) => {
      const files = some(random);
      const shape = [pick(random, lengths)];
      const right = Number(shape[0]) === files.length;
      return infer(
        'any number of files',
        { ...ofFiles(files), inputs: [{ name: 'image', datatype: 'BYTES', shape }] },
        right ? OK : REFUSED,
      );
    },
    (random) => {
      const shape = Array.from({ length: pick(random, [0, 3, 4, 4, 5, 40]) }, () => pick(random, [...lengths, SIDE]));
      const request = ofPixels([1], pixelsOf(random, 1));
      return infer(
        'pixels of any shape',
        { ...request, inputs: [{ name: 'pixels', datatype: 'UINT8', shape }] },
        EITHER,
      );
    },
    (random) => {
      const right = SIDE * SIDE * 3;
      const pixels = Buffer.alloc(pick(random, [random.integer(right), right - 1, right, right + 1, 2 * right]));
      const allowed = pixels.length === right ? OK : REFUSED;
      return infer('pixels of any length', ofPixels([1, SIDE, SIDE, 3], pixels), allowed);
    },
    (random) => {
      const files = some(random);
      const raw = rawBytes(files);
      // In the length of an element.
      raw[random.integer(4)]! ^= 1 << random.integer(8);
      return infer('a wrong length of an element', { ...ofFiles(files), rawInputContents: [raw] }, REFUSED);
    },
    (random) => {
      const files = some(random);
      const raw = rawBytes(files);
      const cut = pick(random, [
        raw.subarray(0, random.integer(raw.length)),
        Buffer.concat([raw, bytesOf(random, 1 + random.integer(9))]),
      ]);
      return infer('raw contents cut off or too long', { ...ofFiles(files), rawInputContents: [cut] }, REFUSED);
    },
    (random) => {
      const request = ofFiles(some(random));
      const [input] = request.inputs!;
      const raw = request.rawInputContents!;
      const contents = { bytesContents: [jpeg] };
      const wrong = pick<ModelInferRequest>(random, [
        {},
        { ...request, inputs: [] },
        { ...request, inputs: [input!, input!] },
        { ...request, inputs: Array.from({ length: 100 }, () => input!) },
        { ...request, rawInputContents: [] },
        { ...request, rawInputContents: [...raw, ...raw] },
        { ...request, inputs: [{ ...input, contents }] },
        { inputs: [{ ...input!, contents: { fp32Contents: [1], bytesContents: [jpeg] } }] },
        { inputs: [{ ...input!, shape: [2], contents }] },
        { ...request, inputs: [{ ...input, name: pick(random, ['', 'pixels', 'INPUT0', '__proto__', 'toString']) }] },
        {
          ...request,
          inputs: [{ ...input, datatype: pick(random, ['', 'UINT8', 'FP16', 'bytes', 'x'.repeat(9000)]) }],
        },
        { ...request, outputs: [{ name: pick(random, ['', 'MAP', '__proto__', 'logits']) }] },
        { ...request, outputs: Array.from({ length: 3 }, () => ({ name: 'map' })) },
        { ...request, id: 'i'.repeat(257 + random.integer(9999)) },
      ]);
      return infer('wrong parts', wrong, REFUSED);
    },
    (random) =>
      infer(
        'any parameters',
        ofFiles(some(random), { parameters: anyParameters(random) }),
        EITHER.concat('FAILED_PRECONDITION'),
      ),
    (random) => {
      const outputs = [{ name: pick(random, ['map', 'embedding']), parameters: anyParameters(random) }];
      return infer(
        'any parameters of an output',
        ofFiles(some(random), { outputs }),
        EITHER.concat('FAILED_PRECONDITION'),
      );
    },
    (random) => {
      const request = ofFiles(some(random));
      const [input] = request.inputs!;
      return infer(
        'any parameters of the input',
        { ...request, inputs: [{ ...input, parameters: anyParameters(random) }] },
        EITHER,
      );
    },
    (random) => {
      const files = ofFiles([pictures[0]!, jpeg], { parameters: { resize: { stringParam: 'native' } } });
      const outputs = pick(random, [[], [{ name: 'map' }]]);
      return infer('maps of different sizes', { ...files, outputs }, REFUSED);
    },
    (random) => {
      const wrong = pick(random, [
        { modelName: bytesOf(random, 1 + random.integer(300)).toString('latin1') },
        { modelName: 'tiny', modelVersion: String(2 + random.integer(99)) },
        { modelVersion: 'latest' },
        { modelName: '@', modelVersion: '1' },
      ]);
      return infer('models that are not served', ofFiles(some(random), wrong), ['NOT_FOUND']);
    },
    (random) => ({
      ...{ kind: 'ModelInfer: too many entries', method: 'ModelInfer', allowed: ['RESOURCE_EXHAUSTED'] },
      bytes: random.integer(8) === 0 ? veryMany.numbers : veryMany.inputs,
    }),
    (random) => ({
      ...{ kind: 'ModelInfer: a parameter named __proto__', method: 'ModelInfer', allowed: EITHER },
      bytes: withPrototypeName(ofFiles(some(random))),
    }),
    (random) => ({
      ...{ kind: 'ModelInfer: garbage', method: 'ModelInfer', allowed: ANY_REFUSAL.slice(1) },
      bytes: bytesOf(random, 1 + random.integer(300)),
    }),
    (random) => ({
      ...{ kind: 'ModelInfer: damaged message', method: 'ModelInfer', allowed: ANY_REFUSAL },
      bytes: damaged(encode(valid(random)), random),
    }),
    (random) => {
      const whole = encode(valid(random));
      const bytes = whole.subarray(0, random.integer(whole.length));
      return { kind: 'ModelInfer: truncated message', method: 'ModelInfer', bytes, allowed: ANY_REFUSAL };
    },
    (random) => {
      const method = pick(random, [
        'ServerLive',
        'ServerReady',
        'ModelReady',
        'ServerMetadata',
        'ModelMetadata',
        'RepositoryIndex',
      ]);
      return { kind: 'garbage questions', method, bytes: bytesOf(random, random.integer(60)), allowed: ANY_REFUSAL };
    },
    (random) => {
      const method = pick(random, ['RepositoryModelLoad', 'RepositoryModelUnload']);
      const bytes = bytesOf(random, random.integer(60));
      return { kind: 'loading and unloading', method, bytes, allowed: ['UNIMPLEMENTED', ...REFUSED] };
    },
  ];
}
