import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entryCounter } from './entryCount.js';
import type { ModelInferRequest } from './generated/inference/ModelInferRequest.js';
import type { EmbedBatchRequest } from './generated/vicregl/v1/EmbedBatchRequest.js';
import type { ExtractFeaturesRequest } from './generated/vicregl/v1/ExtractFeaturesRequest.js';
import { loadInferenceService, loadVicreglService } from './load.js';

const { service } = loadVicreglService();
const batch = (request: EmbedBatchRequest) => service.EmbedBatch.requestSerialize(request as never);
const features = (request: ExtractFeaturesRequest) => service.ExtractFeatures.requestSerialize(request as never);
const countBatch = entryCounter(service.EmbedBatch.requestType);
const countFeatures = entryCounter(service.ExtractFeatures.requestType);
const most = 1_000_000;

test('every message within a message counts, wherever it is nested', () => {
  assert.equal(countBatch(batch({ requests: [] }), most), 0);
  assert.equal(countBatch(batch({ requests: Array.from({ length: 100 }, () => ({})) }), most), 100);
  const image = { encoded: Buffer.alloc(50_000) };
  const nested = countBatch(batch({ requests: [{ image }, { image }] }), most);
  assert.ok(nested >= 4 && nested <= 6, `${nested}: two requests, two images and their fields; bytes are no entries`);
  const cells = Array.from({ length: 1000 }, (_, row) => ({ row, column: 1 }));
  const named = countFeatures(features({ cells: { cells } }), most);
  assert.ok(named >= 1000 && named <= 1300, String(named));
});

test('numbers in a row count by sixteen, plain and unknown fields by eight', () => {
  const counts = Array.from({ length: 16_000 }, (_, i) => (i % 2 === 0 ? 1 : 300));
  const region = { mask: { runLengths: { width: 100, height: 100, counts } } };
  const found = countFeatures(features({ pooling: { regions: [region] } }), most);
  assert.ok(found >= 1000 && found <= 1006, String(found));
  // Field 1000, a varint, as a newer client may send it.
  assert.equal(
    countBatch(Buffer.concat(Array.from({ length: 800 }, () => Buffer.from([0xc0, 0x3e, 0x01]))), most),
    100,
  );
});

test('counting stops soon after the most that may be', () => {
  const many = Buffer.alloc(2_000_000, Buffer.from([0x0a, 0x00]));
  const found = countBatch(many, 1000);
  assert.ok(found > 1000 && found < 1010, String(found));
});

test('what is no message is left to the decoder', () => {
  assert.equal(countBatch(Buffer.from([0x0a, 0x05, 0x01]), most), 1);
  assert.equal(countBatch(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), most), 1);
});

test('each element of a list of texts or bytes counts as an entry, however short it is', () => {
  const { ModelInfer } = loadInferenceService().service;
  const countInfer = entryCounter(ModelInfer.requestType);
  const infer = (request: ModelInferRequest) => ModelInfer.requestSerialize(request as never);
  const empty = Array.from({ length: 1000 }, () => Buffer.alloc(0));
  assert.equal(countInfer(infer({ rawInputContents: empty }), most), 1000);
  const inputs = [{ contents: { bytesContents: empty } }];
  assert.equal(countInfer(infer({ inputs }), most), 1002, 'with the input and its contents');
  // Two bytes each, as the smallest that a caller can send.
  const found = countInfer(Buffer.alloc(2_000_000, Buffer.from([0x3a, 0x00])), 1000);
  assert.ok(found > 1000 && found < 1010, String(found));
  // A single field of bytes is a field like others.
  assert.equal(countFeatures(features({ image: { encoded: Buffer.alloc(10) } }), most), 2);
});

test('the values of a map count like other messages', () => {
  const { ModelInfer } = loadInferenceService().service;
  const parameters = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`p${i}`, { boolParam: true }]));
  const bytes = ModelInfer.requestSerialize({ parameters } as never);
  const found = entryCounter(ModelInfer.requestType)(bytes, most);
  // An entry, its value, its key and the field in the value.
  assert.equal(found, 100 + 100 + Math.ceil(200 / 8));
});
