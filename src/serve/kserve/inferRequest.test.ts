import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { rawBytes } from '../../../test/support/inferenceClient.js';
import type { InferTensorContents } from '../../proto/generated/inference/InferTensorContents.js';
import type { ModelInferRequest } from '../../proto/generated/inference/ModelInferRequest.js';
import { loadInferenceService } from '../../proto/load.js';
import { ServeError } from '../call/serveError.js';
import { defaultServeLimits } from '../config/serveLimits.js';
import { type InferRequest, readInferRequest } from './inferRequest.js';

const { ModelInfer } = loadInferenceService().service;

/** Reads a request as it arrives: after its way through the encoding. */
function read(request: ModelInferRequest): InferRequest {
  return readInferRequest(ModelInfer.requestDeserialize(ModelInfer.requestSerialize(request)), defaultServeLimits);
}

/** @throws AssertionError unless the request is rejected as invalid with this message */
function rejects(request: ModelInferRequest, message: RegExp): void {
  assert.throws(
    () => read(request),
    (error) => {
      assert.ok(error instanceof ServeError, String(error));
      assert.equal(error.code, 'invalid_argument');
      assert.match(error.message, message);
      return true;
    },
  );
}

const files = [Buffer.from('first'), Buffer.alloc(0), Buffer.from('the third')];
const image = { name: 'image', datatype: 'BYTES', shape: [3] };
const raw: ModelInferRequest = { inputs: [image], rawInputContents: [rawBytes(files)] };

/** [2, 1, 2, 3]: two images of two pixels. */
const bytes = Buffer.from(Array.from({ length: 12 }, (_, i) => i * 20));
const pixels = { name: 'pixels', datatype: 'UINT8', shape: [2, 1, 2, 3] };
const rawPixels: ModelInferRequest = { inputs: [pixels], rawInputContents: [bytes] };

const ofShape = (shape: (number | string)[]): ModelInferRequest => ({ ...raw, inputs: [{ ...image, shape }] });
const ofPixels = (shape: (number | string)[]): ModelInferRequest => ({ ...rawPixels, inputs: [{ ...pixels, shape }] });
const typed = (contents: InferTensorContents, input: object = image): ModelInferRequest => ({
  inputs: [{ ...input, contents }],
});

describe('images of a request', () => {
  test('are files in raw or in typed form, also empty ones', () => {
    for (const request of [raw, typed({ bytesContents: files })]) {
      const { input, images, outputs } = read(request);
      assert.equal(input, 'image');
      assert.deepEqual(outputs, ['embedding', 'map']);
      assert.deepEqual(
        images.map(({ encoded }) => encoded),
        files,
      );
    }
  });

  test('are pixels in raw or in typed form', () => {
    for (const request of [rawPixels, typed({ uintContents: [...bytes] }, pixels)]) {
      const { input, images } = read(request);
      assert.equal(input, 'pixels');
      assert.deepEqual(
        images.map(({ raw: source }) => source),
        [bytes.subarray(0, 6), bytes.subarray(6)].map((rgb) => ({ width: 2, height: 1, rgb })),
      );
    }
  });

  test('empty contents beside raw ones are no contents', () => {
    assert.equal(read({ ...raw, inputs: [{ ...image, contents: {} }] }).images.length, 3);
  });

  for (const [what, request, message] of [
    ['no input', {}, /^inputs: empty; send image/],
    ['two inputs', { ...raw, inputs: [image, pixels] }, /^inputs: 2 inputs; send either/],
    [
      'an unknown input',
      { ...raw, inputs: [{ ...image, name: 'INPUT__0' }] },
      /^inputs\[0\]\.name: "INPUT__0" is not an input; there are image \(BYTES \[-1\]\) and pixels \(UINT8 \[-1, -1, -1, 3\]\)/,
    ],
    [
      'an input named like a property of every object',
      { ...raw, inputs: [{ ...image, name: 'constructor' }] },
      /^inputs\[0\]\.name: "constructor"/,
    ],
    [
      'a wrong datatype',
      { ...raw, inputs: [{ ...image, datatype: 'UINT8' }] },
      /^inputs\[0\]\.datatype: "UINT8" .* BYTES/,
    ],
    [
      'pixels in FP32',
      { ...rawPixels, inputs: [{ ...pixels, datatype: 'FP32' }] },
      /^inputs\[0\]\.datatype: "FP32" .* UINT8/,
    ],
    ['no datatype', { ...raw, inputs: [{ ...image, datatype: '' }] }, /^inputs\[0\]\.datatype: ""/],
    ['no shape', ofShape([]), /^inputs\[0\]\.shape: \[\] does not have the form \[-1\]/],
    ['a shape of two dimensions', ofShape([3, 1]), /^inputs\[0\]\.shape: \[3, 1\] does not have the form/],
    ['a shape of very many dimensions', ofShape(Array(5000).fill(1)), /^inputs\[0\]\.shape: \[(1(, )?){8}\] does not/],
    ['a shape of 0', ofShape([0]), /^inputs\[0\]\.shape: \[0\] has a length of 0/],
    ['a negative shape', ofShape([-1]), /^inputs\[0\]\.shape: \[-1\] has a length of -1/],
    ['the smallest shape', ofShape(['-9223372036854775808']), /^inputs\[0\]\.shape: \[-9223372036854776000\]/],
    ['the largest shape', ofShape(['9223372036854775807']), /^inputs\[0\]\.shape: \[9223372036854776000\] has/],
    ['too many images', ofShape([65]), /^inputs\[0\]\.shape: 65 images are over the limit of 64 \(batchRequests\)/],
    ['fewer elements than the shape says', ofShape([4]), /^raw_input_contents\[0\]: 3 elements, and the shape says 4/],
    [
      'more elements than the shape says',
      ofShape([2]),
      /^raw_input_contents\[0\]: 13 bytes follow the 2 elements of the shape/,
    ],
    [
      'bytes after the last element',
      { ...raw, rawInputContents: [Buffer.concat([rawBytes(files), Buffer.from('x')])] },
      /^raw_input_contents\[0\]: 1 bytes follow the 3 elements/,
    ],
    [
      'a length that is cut off',
      { ...raw, rawInputContents: [rawBytes(files).subarray(0, 11)] },
      /^raw_input_contents\[0\]: element 1 begins with 2 bytes/,
    ],
    [
      'an element that is cut off',
      { ...raw, rawInputContents: [rawBytes(files).subarray(0, -1)] },
      /^raw_input_contents\[0\]: element 2 has a length of 9 bytes, and 8 are left/,
    ],
    [
      'a length of 4 GiB',
      { ...raw, rawInputContents: [Buffer.from([255, 255, 255, 255, 1])] },
      /^raw_input_contents\[0\]: element 0 has a length of 4294967295 bytes, and 1 are left/,
    ],
    [
      'a big-endian length',
      { inputs: [{ ...image, shape: [1] }], rawInputContents: [Buffer.from([0, 0, 0, 2, 1, 1])] },
      /element 0 has a length of 33554432 bytes.*little-endian/,
    ],
    ['empty raw contents', { ...raw, rawInputContents: [Buffer.alloc(0)] }, /^raw_input_contents\[0\]: 0 elements/],
    [
      'a file without its length',
      { ...raw, rawInputContents: [Buffer.from('\xff\xd8\xff\xe0', 'latin1')] },
      /element 0 has a/,
    ],
    ['no contents', { inputs: [image] }, /^inputs\[0\]: no contents; send raw_input_contents, or .*bytes_contents$/],
    ['no contents of pixels', { inputs: [pixels] }, /^inputs\[0\]: no contents; .*uint_contents$/],
    [
      'raw contents for two inputs',
      { ...raw, rawInputContents: [rawBytes(files), rawBytes(files)] },
      /^raw_input_contents: 2 elements for 1 input/,
    ],
    [
      'raw and typed contents',
      { ...raw, inputs: [{ ...image, contents: { bytesContents: files } }] },
      /^inputs\[0\]\.contents: given together with raw_input_contents/,
    ],
    [
      'raw contents and typed ones of another datatype',
      { ...raw, inputs: [{ ...image, contents: { boolContents: [true] } }] },
      /^inputs\[0\]\.contents: given together with raw_input_contents/,
    ],
    [
      'typed contents of another datatype',
      typed({ fp32Contents: [1] }, pixels),
      /^inputs\[0\]\.contents\.fp32_contents: not the field for UINT8; use uint_contents/,
    ],
    [
      'typed contents of two datatypes',
      typed({ bytesContents: files, intContents: [1] }),
      /^inputs\[0\]\.contents\.int_contents: not the field for BYTES; use bytes_contents/,
    ],
    [
      'fewer typed elements',
      typed({ bytesContents: files.slice(1) }),
      /bytes_contents: 2 elements, and the shape says 3/,
    ],
    ['pixels without the batch', ofPixels([1, 2, 3]), /^inputs\[0\]\.shape: \[1, 2, 3\] does not have the form/],
    ['channels first', ofPixels([2, 3, 1, 2]), /^inputs\[0\]\.shape: \[2, 3, 1, 2\] .* \[-1, -1, -1, 3\]/],
    ['four channels', ofPixels([1, 1, 3, 4]), /^inputs\[0\]\.shape: \[1, 1, 3, 4\] does not have the form/],
    ['no rows', ofPixels([2, 0, 2, 3]), /^inputs\[0\]\.shape: \[2, 0, 2, 3\] has a length of 0/],
    ['negative sides', ofPixels([2, -1, -2, 3]), /has a length of -1/],
    [
      'sides whose product overflows',
      ofPixels([64, 2 ** 31, 2 ** 31, 3]),
      /: 12 bytes, and \[64, .*\] of UINT8 are 8854\d+$/,
    ],
    ['sides of 64 bits', ofPixels([1, '4611686018427387904', 4, 3]), /has a length of 4611686018427388000/],
    ['one byte too few', { ...rawPixels, rawInputContents: [bytes.subarray(1)] }, /: 11 bytes, and .* are 12$/],
    [
      'one byte too many',
      { ...rawPixels, rawInputContents: [Buffer.concat([bytes, bytes.subarray(0, 1)])] },
      /: 13 bytes/,
    ],
    [
      'a typed pixel over 255',
      typed({ uintContents: [...bytes.subarray(1), 256] }, pixels),
      /uint_contents\[11\]: 256 is no UINT8/,
    ],
    ['too few typed pixels', typed({ uintContents: [1, 2, 3] }, pixels), /uint_contents: 3 bytes, and .* are 12$/],
  ] as readonly (readonly [string, ModelInferRequest, RegExp])[]) {
    test(`rejected: ${what}`, () => rejects(request, message));
  }
});

describe('outputs and parameters', () => {
  const text = (stringParam: string) => ({ stringParam });

  test('have the defaults of our own methods', () => {
    const { wanted, images } = read(raw);
    assert.deepEqual(wanted, {
      embedding: { space: 'GLOBAL_SPACE_BACKBONE', dtype: 'DATA_TYPE_FLOAT32', l2Normalize: false },
      map: { space: 'LOCAL_SPACE_BACKBONE', dtype: 'DATA_TYPE_FLOAT32', l2Normalize: false, stages: [] },
    });
    assert.deepEqual(Object.keys(images[0]!).sort(), ['crop', 'encoded', 'source']);
  });

  test('those of an output take precedence over those of the request', () => {
    const parameters = {
      datatype: text('FP16'),
      l2_normalize: { boolParam: true },
      space: text('local_projector'),
      stage: { uint64Param: 2 },
      resize: text('shortest:256'),
    };
    const own = { space: text('expander'), datatype: text('FP32') };
    const { wanted, images } = read({
      ...raw,
      parameters,
      outputs: [{ name: 'map' }, { name: 'embedding', parameters: own }],
    });
    assert.deepEqual(wanted, {
      embedding: { space: 'GLOBAL_SPACE_EXPANDER', dtype: 'DATA_TYPE_FLOAT32', l2Normalize: true },
      map: { space: 'LOCAL_SPACE_LOCAL_PROJECTOR', dtype: 'DATA_TYPE_FLOAT16', l2Normalize: true, stages: [2] },
    });
    assert.deepEqual(images[0]!.shortestSide, { resize: 256, crop: 0 });
  });

  test('the size of an input takes precedence over that of the request', () => {
    const policies = [
      ['native', { native: {} }],
      ['fit:448x224', { fit: { width: 448, height: 224 } }],
      ['shortest:256,224', { shortestSide: { resize: 256, crop: 224 } }],
    ] as const;
    for (const [policy, expected] of policies) {
      const inputs = [{ ...image, parameters: { resize: text(policy) } }];
      const { images } = read({ ...raw, inputs, parameters: { resize: text('shortest:64') } });
      const { native, fit, shortestSide } = images[2]!;
      assert.deepEqual(
        { native, fit, shortestSide },
        { native: undefined, fit: undefined, shortestSide: undefined, ...expected },
      );
    }
  });

  const requested = (...names: string[]) => ({ outputs: names.map((name) => ({ name })) });
  for (const [what, further, message] of [
    [
      'an unknown output',
      requested('embedding', 'logits'),
      /^outputs\[1\]\.name: "logits" is not an output; there are embedding and map/,
    ],
    ['an output without a name', requested(''), /^outputs\[0\]\.name: ""/],
    ['an output twice', requested('map', 'map'), /^outputs: map is listed twice/],
    [
      'an unknown parameter',
      { parameters: { sequence_id: { int64Param: 3 } } },
      /^parameters\["sequence_id"\]: no such parameter; there are resize, space/,
    ],
    [
      'a parameter of another place',
      { inputs: [{ ...image, parameters: { space: text('backbone') } }] },
      /^inputs\[0\]\.parameters\["space"\]: no such parameter; there are resize$/,
    ],
    [
      'a stage of the embedding',
      { outputs: [{ name: 'embedding', parameters: { stage: { int64Param: 1 } } }] },
      /^outputs\[0\]\.parameters\["stage"\]: no such/,
    ],
    [
      'a stage without a map',
      { ...requested('embedding'), parameters: { stage: { int64Param: 1 } } },
      /^parameters\["stage"\]: no requested output has it/,
    ],
    [
      'a parameter of another type',
      { parameters: { l2_normalize: text('true') } },
      /^parameters\["l2_normalize"\]: is a string_param; send a bool_param/,
    ],
    ['a stage as text', { parameters: { stage: text('1') } }, /send a int64_param or a uint64_param/],
    [
      'a parameter without a value',
      { parameters: { space: {} } },
      /^parameters\["space"\]: has no value; send a string_param/,
    ],
    [
      'a negative stage',
      { parameters: { stage: { int64Param: -1 } } },
      /^parameters\["stage"\]: -1 is not a number from 0/,
    ],
    [
      'a stage of 64 bits',
      { parameters: { stage: { uint64Param: '18446744073709551615' } } },
      /is not a number from 0/,
    ],
    [
      'an unknown space',
      { parameters: { space: text('pixels') } },
      /^space of embedding: "pixels" is none of backbone, expander/,
    ],
    [
      'a space of one of two outputs',
      { parameters: { space: text('expander') } },
      /^space of map: "expander" is none of backbone, local_projector/,
    ],
    [
      'a space named like a property of every object',
      { parameters: { space: text('toString') } },
      /^space of embedding: "toString"/,
    ],
    [
      'an unknown datatype',
      { parameters: { datatype: text('INT8') } },
      /^datatype of embedding: "INT8" is none of FP32, FP16/,
    ],
    ['an unknown size', { parameters: { resize: text('224') } }, /^resize: "224" is not native, fit:WIDTHxHEIGHT/],
    [
      'a size of very many digits',
      { parameters: { resize: text(`fit:${'9'.repeat(400)}x8`) } },
      /^resize: "fit:9+" is not/,
    ],
    [
      'a size over 32 bits',
      { parameters: { resize: text('shortest:4294967296') } },
      /^resize: "shortest:4294967296" is not/,
    ],
    ['an id that is too long', { id: 'x'.repeat(257) }, /^id: 257 characters, over the limit of 256/],
  ] as readonly (readonly [string, ModelInferRequest, RegExp])[]) {
    test(`rejected: ${what}`, () => rejects({ ...raw, ...further }, message));
  }

  test('a parameter named __proto__ changes nothing', () => {
    const parameters = JSON.parse('{"__proto__": {"boolParam": true}}') as ModelInferRequest['parameters'];
    try {
      read({ ...raw, parameters: parameters! });
    } catch (error) {
      assert.match(String(error), /no such parameter/);
    }
    assert.equal(Object.hasOwn(Object.prototype, 'boolParam'), false);
  });
});
