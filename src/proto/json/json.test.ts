import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { createFileRegistry, fromBinary, fromJson, toBinary, toJson } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import type protobuf from 'protobufjs';
import { loadVicreglService } from '../load.js';
import { messageType } from '../messageType.js';
import type { AnyDefinition, MethodDefinitions } from '../methods.js';
import { encodeStatusDetails, type StatusDetails } from '../statusDetails.js';
import { base64Bytes } from './base64.js';
import { messageFromJson } from './fromJson.js';
import { addPaths } from './fromPaths.js';
import { JsonError } from './jsonError.js';
import { type FieldPlan, messagePlan } from './messagePlan.js';
import { parseJson } from './parseJson.js';
import { statusJson } from './statusJson.js';
import { messageToJson } from './toJson.js';

/** Buf's implementation, which knows the original names of fields from the compiler's descriptors. */
const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, readFileSync(new URL('../descriptors.binpb', import.meta.url))),
);
const service = loadVicreglService().service;
const typeOf = (name: string): protobuf.Type => messageType(service.Match.requestType).root.lookupType(name);
const schemaOf = (type: protobuf.Type) => registry.getMessage(type.fullName.replace(/^\./, ''))!;

/** JSON of any message of a type, in every spelling that proto3 JSON allows. */
function anyMessage(type: protobuf.Type, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const { fields } = messagePlan(type);
  const chosen = fc.subarray([...fields]).map((some) => {
    const taken = new Set<string>();
    return some.filter(({ oneof }) => oneof === undefined || (!taken.has(oneof) && taken.add(oneof)));
  });
  return chosen.chain((some) =>
    fc
      .tuple(
        ...some
          .filter(({ message }) => message === undefined || depth > 0)
          .map((field) =>
            fc.tuple(fc.constantFrom(field.name, field.originalName), anyField(field, depth)).map((entry) => entry),
          ),
      )
      .map((entries) => Object.fromEntries(entries)),
  );
}

function anyField(field: FieldPlan, depth: number): fc.Arbitrary<unknown> {
  return field.repeated ? fc.array(anyValue(field, depth), { maxLength: 3 }) : anyValue(field, depth);
}

function anyValue(field: FieldPlan, depth: number): fc.Arbitrary<unknown> {
  if (field.message) return anyMessage(field.message, depth - 1);
  if (field.enum) return fc.constantFrom(...Object.entries(field.enum.values).flat());
  switch (field.kind) {
    case 'string':
      return fc.string();
    case 'bool':
      return fc.boolean();
    case 'bytes':
      return fc
        .tuple(fc.uint8Array({ maxLength: 40 }), fc.constantFrom('base64' as const, 'base64url' as const))
        .map(([bytes, form]) => Buffer.from(bytes).toString(form));
    case 'float':
      return fc.oneof(fc.float({ noDefaultInfinity: true, noNaN: true }), fc.constantFrom('NaN', 'Infinity', '1.5e3'));
    case 'double':
      return fc.oneof(fc.double({ noDefaultInfinity: true, noNaN: true }), fc.constantFrom('-Infinity', '0.25'));
    default:
      return fc.oneof(fc.nat(2 ** 31 - 1), fc.nat(1000).map(String), fc.constantFrom(1e3, '12'));
  }
}

const methods = Object.values(service as MethodDefinitions) as readonly AnyDefinition[];

describe('proto3 JSON', () => {
  test('every request is read as Buf reads it', () => {
    for (const { requestType, requestSerialize } of methods) {
      const type = messageType(requestType);
      const schema = schemaOf(type);
      fc.assert(
        fc.property(anyMessage(type, 4), (json) => {
          const ours = requestSerialize(messageFromJson(type, json) as never);
          // The order of fields on the wire is free: the decoded messages are compared, by their JSON.
          const theirs = toJson(schema, fromJson(schema, json as never));
          assert.deepEqual(toJson(schema, fromBinary(schema, ours)), theirs);
        }),
        { numRuns: 40, seed: 3 },
      );
    }
  });

  test('every response is written as Buf writes it, with the defaults of fields without presence', () => {
    for (const { responseType } of methods) {
      const type = messageType(responseType);
      // The details of an error are packed messages; the next test has them.
      const schema = schemaOf(type);
      fc.assert(
        fc.property(anyMessage(type, 3), (json) => {
          const message = fromJson(schema, withoutStatus(json) as never);
          const theirs = toJson(schema, message, { alwaysEmitImplicit: true });
          assert.deepEqual(rounded(messageToJson(type, toBinary(schema, message))), rounded(theirs));
        }),
        { numRuns: 40, seed: 4 },
      );
    }
  });

  test('a status is written as Buf writes it, with its details', () => {
    const cases: StatusDetails[] = [
      {
        code: 8,
        details: 'full',
        reason: 'OVERLOADED',
        limit: { name: 'queueImages', value: 2 },
        retryAfterSeconds: 1.25,
      },
      { code: 3, details: 'wrong', reason: 'IMAGE_CORRUPT' },
      { code: 8, details: 'over', reason: 'RATE_LIMITED', retryAfterSeconds: 3 },
    ];
    const schema = registry.getMessage('google.rpc.Status')!;
    for (const failure of cases) {
      const theirs = toJson(schema, fromBinary(schema, encodeStatusDetails(failure)), {
        registry,
        alwaysEmitImplicit: true,
      });
      assert.deepEqual(statusJson(failure), theirs);
      assert.deepEqual(messageToJson(typeOf('google.rpc.Status'), encodeStatusDetails(failure)), theirs);
    }
  });

  test('what is wrong is named by the path of its field, with the value and what is accepted', () => {
    const cases: [string, unknown, RegExp][] = [
      [
        'MatchRequest',
        { a: { image: { encodet: '' } } },
        /^a\.image\.encodet: Image has no such field; did you mean encoded\?/,
      ],
      ['MatchRequest', { zzz: 1 }, /^zzz: MatchRequest has no such field; it has model, a, b, /],
      ['MatchRequest', { a: [] }, /^a: \[\] is not an object \(MatchSide\)/],
      [
        'EmbedRequest',
        { image: { crop: { top: -1 } } },
        /^image\.crop\.top: -1 is not a whole number from 0 to 4294967295/,
      ],
      ['EmbedRequest', { image: { crop: { top: 1.5 } } }, /^image\.crop\.top: 1\.5 is not a whole/],
      ['EmbedRequest', { image: { crop: { top: ' 1' } } }, /^image\.crop\.top: " 1" is not a whole/],
      ['EmbedRequest', { image: { encoded: 'a b*c' } }, /^image\.encoded: "a b\*c" is not base64/],
      ['EmbedRequest', { image: { encoded: 'data:image/png;base64,AAAA' } }, /after|follows the comma of the data URI/],
      ['EmbedRequest', { image: { encoded: [1, 2] } }, /^image\.encoded: \[1,2\] is not base64/],
      ['EmbedRequest', { space: 'BACKBONE' }, /^space: "BACKBONE" is none of GLOBAL_SPACE_UNSPECIFIED, /],
      ['EmbedRequest', { space: 99 }, /^space: 99 is none of /],
      ['EmbedRequest', { l2Normalize: 'true' }, /^l2Normalize: "true" is neither true nor false/],
      ['EmbedRequest', { l2Normalize: true, l2_normalize: true }, /^l2_normalize: is the same field as l2Normalize/],
      ['EmbedRequest', { model: 3 }, /^model: 3 is not a text/],
      ['EmbedRequest', { image: { fit: {}, native: {} } }, /^image\.native: excludes fit; set one of the two/],
      ['EmbedBatchRequest', { requests: [{}, { model: 1 }] }, /^requests\[1\]\.model: 1 is not a text/],
      ['EmbedBatchRequest', { requests: {} }, /^requests: \{\} is not a list/],
      ['MatchRequest', { byFeatures: { ratio: '0x1' } }, /^byFeatures\.ratio: "0x1" is not a number/],
      ['MatchRequest', { byFeatures: { ratio: 1e39 } }, /^byFeatures\.ratio: 1e\+39 is more than a float32/],
      ['MatchRequest', JSON.parse('{"__proto__": {"model": "x"}}'), /^__proto__: MatchRequest has no such field/],
      ['MatchRequest', { constructor: 1 }, /^constructor: MatchRequest has no such field/],
    ];
    for (const [name, json, message] of cases) {
      assert.throws(
        () => messageFromJson(typeOf(`vicregl.v1.${name}`), json),
        (error) => {
          assert.ok(error instanceof JsonError);
          assert.match(error.message, message);
          return true;
        },
      );
    }
    assert.deepEqual(messageFromJson(typeOf('vicregl.v1.EmbedRequest'), { model: null, image: null }), {});
  });

  test('a body is refused before it is parsed when it is too deep or has too many values', () => {
    const limits = { depth: 4, values: 10 };
    const parse = (text: string) => parseJson(Buffer.from(text), limits);
    assert.deepEqual(parse('{"a": [[[1]]], "[[[[[[": "\\\\\\"]]]]]]", "b": "},,,,,,,,,,,,"}'), {
      a: [[[1]]],
      '[[[[[[': '\\"]]]]]]',
      b: '},,,,,,,,,,,,',
    });
    assert.throws(() => parse('[[[[[1]]]]]'), /nested more than 4 deep/);
    assert.throws(() => parse('['.repeat(1e6)), /nested more than 4 deep/);
    assert.throws(() => parse(`[${'1,'.repeat(20)}1]`), /more than 10 values/);
    assert.throws(() => parse(`[${'{},'.repeat(6)}1]`), /more than 10 values/);
    assert.throws(() => parse('"\\'), /not JSON/);
    assert.throws(() => parse(''), /empty/);
    assert.throws(() => parseJson(Buffer.from([0x22, 0xff, 0x22]), limits), /not UTF-8/);
  });

  test('base64 is read in both alphabets, with and without padding and line breaks, and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
        const text = Buffer.from(bytes).toString('base64');
        const lines = text.replace(/(.{20})/g, '$1\r\n');
        for (const form of [text, Buffer.from(bytes).toString('base64url'), lines]) {
          assert.deepEqual(base64Bytes(form), Buffer.from(bytes));
        }
      }),
      { seed: 5 },
    );
    for (const wrong of [
      'a',
      'ab*d',
      'ab=d',
      'abcd=',
      'abc==',
      '====',
      'ab,cdef',
      '%',
      'abcde',
      '\u0141\u0141\u0141\u0141',
      '\u0141AAA',
      'AAA\u0141\n',
    ]) {
      assert.equal(base64Bytes(wrong), undefined, wrong);
    }
  });

  test('values of a query are placed by their paths; a file stands for the bytes of an image', () => {
    const type = typeOf('vicregl.v1.MatchRequest');
    const carriers = { Image: 'encoded', MatchSide: 'image' };
    const tree = {};
    const file = Buffer.from([1, 2]);
    addPaths(
      type,
      tree,
      [
        ['a', file],
        ['a.image.crop.top', '3'],
        ['a.image.crop.flip', ''],
        ['by_features.topGamma', '5'],
        ['byFeatures.mutual', 'true'],
      ],
      carriers,
    );
    assert.deepEqual(messageFromJson(type, tree), {
      a: { image: { encoded: file, crop: { top: 3, flip: true } } },
      byFeatures: { topGamma: 5, mutual: true },
    });
    const refuse = (path: string, value: string | Uint8Array, message: RegExp, start: object = {}) =>
      assert.throws(() => addPaths(type, { ...start }, [[path, value]], carriers), message);
    refuse('a.picture', 'x', /^JsonError: a\.picture: MatchSide has no field picture; it has image, /);
    refuse(
      'a',
      'x',
      /a: is a message; name one of its fields, such as a\.image, or leave the value empty for its defaults$/,
    );
    refuse('a.image.native', '1', /a\.image\.native: is a message without fields; leave the value empty$/);
    refuse('a.image.native.value', '1', /Native has no field value; it has no fields$/);
    refuse('a', '', /a: a is set, and is not an object/, { a: 3 });
    refuse('model', file, /model: is a file, but the field is of type string/);
    refuse('model.x', '1', /model has no fields/);
    refuse('model', 'b', /set more than once/, { model: 'a' });
    refuse('a.image', file, /a\.image: ?.*is set|a: a is set/, { a: 3 });
    const batch = typeOf('vicregl.v1.EmbedBatchRequest');
    for (const path of ['requests', 'requests.model']) {
      assert.throws(
        () => addPaths(batch, {}, [[path, '']], carriers),
        /requests is a list of messages; send it as JSON$/,
      );
    }
    refuse('__proto__.x', '1', /has no field __proto__/);
    const long = 'x'.repeat(100_000);
    for (const path of [long, `model.${long}`, `a.image.${long}`, `a.${'image.'.repeat(10_000)}`]) {
      const error = thrown(() => addPaths(type, { a: 3, model: 'm' }, [[path, 'x']], carriers));
      assert.ok(error.message.length < 1000, `${path.slice(0, 20)}: ${error.message.length} characters`);
    }
    const features = typeOf('vicregl.v1.ExtractFeaturesRequest');
    const listed = {};
    addPaths(
      features,
      listed,
      [
        ['stages', '1,2'],
        ['stages', '3'],
        ['space', '1'],
      ],
      carriers,
    );
    assert.deepEqual(messageFromJson(features, listed), { stages: [1, 2, 3], space: 'LOCAL_SPACE_BACKBONE' });
  });

  test('an empty value is a message with its defaults; null in the body leaves a field free', () => {
    const type = typeOf('vicregl.v1.MatchRequest');
    const tree = { model: null, a: null, byFeatures: { mutual: true } };
    const values = [
      ['a.image.native', ''],
      ['homography', 'true'],
      ['byFeatures', ''],
      ['model', 'm'],
    ] as const;
    addPaths(type, tree, values, {});
    assert.deepEqual(messageFromJson(type, tree), {
      ...{ model: 'm', a: { image: { native: {} } }, homography: {}, byFeatures: { mutual: true } },
    });
  });
});

function thrown(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new assert.AssertionError({ message: 'nothing was thrown' });
}

/** Numbers as float32, which Buf writes with all digits of a double, and without -0, which JSON does not have. */
function rounded(value: unknown): unknown {
  if (typeof value === 'number') return Math.fround(value) + 0;
  if (Array.isArray(value)) return value.map(rounded);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, rounded(inner)]));
}

/** A message without the errors of items. */
function withoutStatus(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutStatus);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== 'status')
      .map(([key, inner]) => [key, withoutStatus(inner)]),
  );
}
