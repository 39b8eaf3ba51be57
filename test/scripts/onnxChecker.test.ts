import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { exportModel } from '../../src/models/exportModel.js';
import { openModelFolder } from '../../src/models/folder.js';
import { tensor } from '../../src/tensor/tensor.js';
import { tinyModelConfig, tinyWeights } from '../support/tinyWeights.js';

const PYTHON = '/usr/bin/python3';
const installed = spawnSync(PYTHON, ['-c', 'import onnx']).status === 0;

it("every variant passes Python's onnx checker", { skip: !installed && 'python3-onnx is not installed' }, async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'vicregl-checker-'));
  try {
    const { backbone, localProjector, expander } = tinyModelConfig;
    const source = {
      name: 'tiny',
      version: '1',
      architecture: 'custom',
      backbone,
      localProjector,
      expander,
      alpha: 0.75,
      weights: tinyWeights(tinyModelConfig),
      license: 'Apache-2.0',
      training: {},
    };
    const image = tensor('uint8', [1, 64, 64, 3], new Uint8Array(64 * 64 * 3).fill(128));
    const variants = {
      float32: { stages: [1, 2, 3, 4] },
      float16: { compute: 'float16' },
      int8: { quantize: { calibration: [image], heldOut: [], ranges: 'minmax' } },
    } as const;
    for (const [name, options] of Object.entries(variants)) {
      await exportModel(join(scratch, name), source, { precision: 'float32', ...options });
    }
    const folders = Object.keys(variants).map((name) => join(scratch, name));
    const { status, stdout, stderr } = spawnSync(PYTHON, ['scripts/compare/check_onnx.py', ...folders], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    assert.equal(stdout.match(/opset 17, IR 8/g)?.length, 9);
    for (const folder of folders) await openModelFolder(folder); // the check must not change any file
  } finally {
    await rm(scratch, { recursive: true });
  }
});
