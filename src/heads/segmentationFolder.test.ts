import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  openSegmentationHead,
  requireFreeHeadPlace,
  requireHeadModel,
  writeSegmentationHead,
} from './segmentationFolder.js';

const manifest = {
  created: '2026-01-01T00:00:00.000Z',
  classes: [
    { name: 'sky', colour: [1, 2, 3] as [number, number, number] },
    { name: 'road', colour: [4, 5, 6] as [number, number, number] },
  ],
  protocol: 'linear',
  maps: [{ name: 'stage1', channels: 4, stride: 4 }],
  stride: 4,
  inputStride: 32,
  window: { side: 512, step: 341 },
  model: { name: 'm', version: '1', digest: 'abc' },
  scores: { miou: 0.5 },
};

describe('the folder of a segmentation head', () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-head-'));
  });
  after(() => rm(root, { recursive: true }));

  it('is read as it was written, and leaves nothing else behind', async () => {
    const dir = join(root, 'head');
    await writeSegmentationHead('--out-head', dir, manifest, Uint8Array.of(1, 2, 3));
    const head = await openSegmentationHead(dir);
    assert.deepEqual([...head.graph], [1, 2, 3]);
    assert.deepEqual(head.manifest.classes, manifest.classes);
    assert.deepEqual(await readdir(root), ['head']);
    await assert.rejects(requireFreeHeadPlace('--out-head', dir), {
      name: 'HeadError',
      message: /--out-head: .*head exists already/,
    });
  });

  it('is refused where it is damaged, of another version, or no head', async () => {
    const dir = join(root, 'other');
    await writeSegmentationHead('--out-head', dir, manifest, Uint8Array.of(1));
    const path = join(dir, 'manifest.json');
    const written = JSON.parse(await readFile(path, 'utf8'));
    for (const [json, message] of [
      ['{', /is not JSON/],
      ['{}', /is not the manifest of a segmentation head/],
      [JSON.stringify({ ...written, formatVersion: 2 }), /format version 2, and this version of vicregl reads 1/],
      [JSON.stringify({ ...written, stride: 'x' }), /is damaged; train the head again:\n {2}stride: /],
    ] as const) {
      await writeFile(path, json);
      await assert.rejects(openSegmentationHead(dir), { name: 'HeadError', message });
    }
    await writeFile(path, JSON.stringify(written));
    await writeFile(join(dir, 'head.onnx'), 'x');
    await assert.rejects(openSegmentationHead(dir), /head\.onnx is damaged: its sha256/);
    await assert.rejects(openSegmentationHead(join(root, 'nowhere')), /nowhere.*cannot be read/);
  });

  it('names both models where it belongs to another one', () => {
    const head = {
      dir: 'h',
      manifest: {
        ...manifest,
        format: 'vicregl-segmentation-head',
        formatVersion: 1,
        graph: { file: 'head.onnx', sha256: '' },
      },
    } as const;
    requireHeadModel(head, { name: 'renamed', version: '3', digest: 'abc' });
    assert.throws(() => requireHeadModel(head, { name: 'n', version: '2', digest: 'def' }), {
      name: 'HeadError',
      message: /trained on the features of m 1 .*, and the model is n 2 .* --model, or train a head/,
    });
  });
});
