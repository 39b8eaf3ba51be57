import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  openSegmentationHead,
  requireFreeHeadPlace,
  requireHeadMaps,
  requireHeadModel,
  writeSegmentationHead,
} from './segmentationFolder.js';

const format = 'vicregl-segmentation-head' as const;
const graph = { file: 'head.onnx' as const, sha256: '' };

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
      [JSON.stringify({ ...written, stride: 8 }), /is damaged.*\n {2}stride: it must be that of the first map, 4/],
      [
        JSON.stringify({ ...written, window: { side: 16, step: 64 } }),
        /is damaged.*\n {2}window: the step must be at most/,
      ],
      [JSON.stringify({ ...written, maps: [...written.maps, ...written.maps] }), /\n {2}maps: a map is named twice/],
      [
        JSON.stringify({ ...written, maps: [...written.maps, { name: 'stage2', channels: 4, stride: 6 }] }),
        /\n {2}maps: strides must be multiples of the first, 4/,
      ],
    ] as const) {
      await writeFile(path, json);
      await assert.rejects(openSegmentationHead(dir), { name: 'HeadError', message });
    }
    await writeFile(path, JSON.stringify(written));
    await writeFile(join(dir, 'head.onnx'), 'x');
    await assert.rejects(openSegmentationHead(dir), /head\.onnx is damaged: its sha256/);
    await assert.rejects(openSegmentationHead(join(root, 'nowhere')), /nowhere.*cannot be read/);
  });

  it('fits a model with its maps, of the same channels and strides, alone', () => {
    const head = { dir: 'h', manifest: { ...manifest, format, formatVersion: 1, graph } } as const;
    const modelOf = (channels: number, stride: number, name = 'stage1', inputs = 32) => ({
      stride: inputs,
      outputs: new Map([[name, { channels, stride }]]),
    });
    requireHeadMaps(head, modelOf(4, 4));
    for (const [model, message] of [
      [modelOf(4, 4, 'maps'), /does not fit the model: it reads "stage1", and the model has maps; train/],
      [modelOf(4, 8), /its "stage1" has 4 channels and stride 4, and the model's 4 and 8/],
      [modelOf(5, 4), /has 4 channels and stride 4, and the model's 5 and 4/],
      [modelOf(4, 4, 'stage1', 16), /it has inputs of stride 32, and the model of 16/],
    ] as const) {
      assert.throws(() => requireHeadMaps(head, model), { name: 'HeadError', message });
    }
  });

  it('names both models where it belongs to another one', () => {
    const head = {
      dir: 'h',
      manifest: {
        ...manifest,
        format,
        formatVersion: 1,
        graph,
      },
    } as const;
    requireHeadModel(head, { name: 'renamed', version: '3', digest: 'abc' });
    assert.throws(() => requireHeadModel(head, { name: 'n', version: '2', digest: 'def' }), {
      name: 'HeadError',
      message: /trained on the features of m 1 .*, and the model is n 2 .* --model, or train a head/,
    });
  });
});
