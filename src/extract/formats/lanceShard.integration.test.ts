import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { connect } from '@lancedb/lancedb';
import { tensor } from '../../tensor/tensor.js';
import { openLance } from './lanceShard.js';

it('rows of several writes keep their order, and a table without rows has its columns', async () => {
  const out = await mkdtemp(join(tmpdir(), 'vicregl-lance-'));
  try {
    // Two rows are one write.
    const channels = 2 ** 22;
    const output = { name: 'embedding', kind: 'vector', channels } as const;
    const region = { name: 'features', kind: 'regions', channels: 4, stride: 8 } as const;
    const shard = await (await openLance())({
      out,
      shard: '0',
      tables: [
        { name: 'images', outputs: [output] },
        { name: 'regions', outputs: [region] },
      ],
      dtype: 'int8',
      model: 'm@1',
      oneSize: true,
    });
    for (let i = 0; i < 5; i++) {
      const vector = { ...tensor('int8', [channels], new Int8Array(channels).fill(i)), scales: Float32Array.of(i / 4) };
      await shard.append('images', [{ path: `${i}.jpg`, width: i, height: 1, values: [vector] }]);
    }
    await shard.end();
    for (const file of shard.files) {
      await file.finish();
      await file.commit();
    }
    const database = await connect(join(out, 'lance'));
    const images = await database.openTable('images_0');
    const rows = await images.query().select(['image_path', 'embedding_scale']).toArray();
    assert.deepEqual(
      rows.map((row) => [row.image_path, row.embedding_scale]),
      [0, 1, 2, 3, 4].map((i) => [`${i}.jpg`, i / 4]),
    );
    assert.equal(await images.version(), 3);
    const regions = await database.openTable('regions_0');
    assert.equal(await regions.countRows(), 0);
    assert.ok((await regions.schema()).fields.some(({ name }) => name === 'coverage'));
    database.close();
  } finally {
    await rm(out, { recursive: true });
  }
});
