import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import { silentProgress } from '../../progress/work.js';
import { float16ToFloat32 } from '../../tensor/float16.js';
import { tensor } from '../../tensor/tensor.js';
import { featureCache } from '../featureCache.js';
import type { Subject } from '../subjects/subject.js';
import { freezeMaps, viewOf } from './frozenMaps.js';

describe('frozen maps', () => {
  it('are float16, or float32 in all views of a map that overflows in one of them', async () => {
    const root = await mkdtemp(join(tmpdir(), 'vicregl-frozen-'));
    try {
      const image = join(root, 'a.png');
      // Three windows of 1,024 pixels: one a run of the network, so that the maps come in parts.
      const bytes = await sharp({ create: { width: 3072, height: 1024, channels: 3, background: 'red' } })
        .png()
        .toBuffer();
      await writeFile(image, bytes);
      const imageDigest = createHash('sha256').update(bytes).digest('hex');
      const pair = { name: 'a.png', image, mask: '', size: { width: 3072, height: 1024 }, imageDigest, maskDigest: '' };
      const maps = [
        { name: 'stage1', channels: 1, stride: 256 },
        { name: 'maps', channels: 2, stride: 512 },
      ];
      let runs = 0;
      const subject: Subject = {
        stride: 512,
        outputs: new Map(maps.map(({ name, ...about }) => [name as 'maps', about])),
        provider: 'none',
        runs: 1,
        async run({ shape }) {
          assert.deepEqual(shape, [1, 1024, 1024, 3]);
          const value = runs++ % 3;
          return {
            stage1: tensor('float32', [1, 4, 4, 1], new Float32Array(16).fill(1.5 + value)),
            maps: tensor('float32', [1, 2, 2, 2], new Float32Array(8).fill(value === 2 ? 70_000 : 1.0001)),
          };
        },
        close: async () => undefined,
      };
      const frozen = await freezeMaps(subject, [pair], {
        maps,
        window: { side: 1024, step: 1024 },
        crop: 512,
        flip: false,
        digest: 'a',
        cache: featureCache(undefined),
        memoryBytes: 1e6,
        progress: silentProgress,
      });
      const found = await frozen.of(0);
      assert.equal(runs, 6);
      const views = [0, 1, 2].map((view) => {
        const [fine, last] = [viewOf(found, 'stage1', view), viewOf(found, 'maps', view)];
        assert.deepEqual(
          [fine.dtype, fine.shape, last.dtype, last.shape],
          ['float16', [4, 4, 1], 'float32', [2, 2, 2]],
        );
        return [float16ToFloat32(fine.data as Uint16Array)[15], last.data[7]];
      });
      assert.deepEqual(views, [
        [1.5, Math.fround(1.0001)],
        [2.5, Math.fround(1.0001)],
        [3.5, 70_000],
      ]);
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
