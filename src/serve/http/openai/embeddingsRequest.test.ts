import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEmbeddingsRequest } from './embeddingsRequest.js';

const limits = { batchRequests: 4 };
const uri = `data:image/jpeg;base64,${Buffer.from('file').toString('base64')}`;

test('unknown fields are named, and only the first of many', () => {
  const refused = (body: object, message: RegExp) =>
    assert.throws(() => readEmbeddingsRequest({ model: 'm', input: uri, ...body }, limits), {
      code: 'invalid_argument',
      message,
    });
  refused({ size: 1 }, /^size: no such field; there are input, model, [^;]*$/);
  const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`field${i}`, i]));
  refused(many, /^field0: [^;]*; there are [^;]*; field1: [^;]*; there are [^;]*; field2: [^;]*; there are [^;]*$/);
  refused({ space: { text: 'x'.repeat(1_000_000) } }, /^space: .{60} is not a text$/);
});
