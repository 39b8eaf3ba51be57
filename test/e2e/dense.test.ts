import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import sharp from 'sharp';
import { type Client, createClient, type Features, type PoolingRegion } from '../../src/client/index.js';
import { createOnnxEngine } from '../../src/engine/onnxEngine.js';
import { exportModel } from '../../src/models/exportModel.js';
import { openModelFolder } from '../../src/models/folder.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';
import { createServer, type RunningServer } from '../../src/serve/server.js';
import { tinyModelConfig, tinyWeights } from '../support/tinyWeights.js';

const photo = (name: string) => readFile(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));
const limits = { ...defaultServeLimits, poolingRegions: 5, pcaComponents: 8, maxReduceProducts: 2_000_000 };

let scratch: string;
let server: RunningServer;
let client: Client;
let image: Buffer;
/** The photograph has 600 x 400 pixels. At this size its map has 8 x 12 cells of 50 x 50 pixels. */
const resize = { kind: 'fit', width: 384, height: 256 } as const;
let placed: { readonly pixels: Buffer; readonly resize: typeof resize };
let whole: Features;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-dense-'));
  const { backbone, expander, localProjector } = tinyModelConfig;
  const model = {
    name: 'tiny',
    version: '2',
    architecture: 'custom',
    alpha: 0.75,
    license: 'Apache-2.0',
    training: {},
  };
  const dir = join(scratch, 'tiny');
  await exportModel(
    dir,
    { ...model, backbone, expander, localProjector, weights: tinyWeights(tinyModelConfig) },
    { precision: 'float32', stages: [1, 2] },
  );
  server = await createServer({
    models: [{ engine: await createOnnxEngine(await openModelFolder(dir), { device: 'cpu', threads: 1 }) }],
    logger: pino({ level: 'silent' }),
    address: '127.0.0.1:0',
    metricsAddress: '127.0.0.1:0',
    limits,
  });
  client = createClient({ address: server.address, deadlineMs: 60_000 });
  image = await photo('coffee.jpg');
  placed = { pixels: image, resize };
  whole = await client.features(placed);
});
after(async () => {
  await client.close();
  await server.close();
  await rm(scratch, { recursive: true, force: true });
});

/** The vector of a cell. */
function vector({ data, shape }: Features, row: number, column: number): number[] {
  const channels = shape.at(-1)!;
  const start = (row * shape[1]! + column) * channels;
  return [...data.subarray(start, start + channels)];
}

function close(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-5): void {
  assert.equal(actual.length, expected.length);
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    assert.ok(difference <= tolerance * (1 + Math.abs(expected[i]!)), `${i}: ${actual[i]}, expected ${expected[i]}`);
  }
}

describe('parts of a map', () => {
  test('a region returns the cells that overlap it, with their positions', async () => {
    const region = { left: 110, top: 149, right: 301, bottom: 200 };
    const part = await client.features(placed, { region });
    assert.deepEqual(part.shape, [2, 5, whole.shape[2]]);
    const { rows, columns, firstRow, firstColumn, cellToPixel } = part.grid;
    assert.deepEqual({ rows, columns, firstRow, firstColumn }, { rows: 2, columns: 5, firstRow: 2, firstColumn: 2 });
    assert.deepEqual(cellToPixel, { scaleX: 50, scaleY: 50, offsetX: 100, offsetY: 100 });
    for (let row = 0; row < 2; row++) {
      for (let column = 0; column < 5; column++) {
        assert.deepEqual(vector(part, row, column), vector(whole, row + 2, column + 2));
      }
    }
  });

  test('requested cells are returned in the requested order', async () => {
    const cells = [
      { row: 7, column: 11 },
      { row: 0, column: 3 },
    ];
    const { data, shape, grid } = await client.features(placed, { cells });
    assert.deepEqual(shape, [2, whole.shape[2]]);
    assert.deepEqual([...data], [...vector(whole, 7, 11), ...vector(whole, 0, 3)]);
    assert.deepEqual([grid.rows, grid.columns], [8, 12]);
  });

  test('cells and regions outside the map are INVALID_ARGUMENT with the field', async () => {
    const outside = { left: 600, top: 0, right: 700, bottom: 10 };
    await assert.rejects(client.features(placed, { region: outside }), {
      code: 'INVALID_ARGUMENT',
      reason: 'DENSE_BAD_REGION',
      message: /^region: .* covers no cell; the network saw \[0.0, 600.0\) x \[0.0, 400.0\)/,
    });
    await assert.rejects(
      client.features(placed, { region: { ...outside, right: 600 } }),
      /^VicreglError: region: left 600/,
    );
    await assert.rejects(
      client.features(placed, { cells: [{ row: 8, column: 0 }] }),
      /^VicreglError: cells.cells\[0\]: row 8/,
    );
    await assert.rejects(client.features(placed, { cells: [] }), /^VicreglError: cells.cells: empty/);
  });
});

describe('stages', () => {
  test('each stage has its own grid and channels, and stage 0 is the map of the space', async () => {
    const { maps, data } = await client.features(placed, { stages: [1, 0, 2] });
    const { stages } = await client.model();
    assert.deepEqual(
      stages.map(({ stage, stride }) => [stage, stride]),
      [
        [1, 4],
        [2, 8],
      ],
    );
    assert.deepEqual(
      maps.map(({ stage, shape }) => [stage, ...shape]),
      [
        [1, 64, 96, stages[0]!.channels],
        [0, ...whole.shape],
        [2, 32, 48, stages[1]!.channels],
      ],
    );
    assert.deepEqual(maps[1]!.data, whole.data);
    assert.deepEqual(data, maps[0]!.data);
    assert.deepEqual(maps[0]!.grid.cellToPixel, { scaleX: 6.25, scaleY: 6.25, offsetX: 0, offsetY: 0 });
    assert.ok(new Set(maps[2]!.data).size > 100);
  });

  test('a region selects the same part of each stage', async () => {
    const region = { left: 100, top: 100, right: 200, bottom: 150 };
    const { maps } = await client.features(placed, { stages: [0, 1], region });
    assert.deepEqual(
      maps.map(({ grid }) => [grid.rows, grid.columns]),
      [
        [1, 2],
        [8, 16],
      ],
    );
  });

  test('a stage that the model lacks, or one requested twice, is rejected', async () => {
    await assert.rejects(client.features(placed, { stages: [4] }), {
      code: 'FAILED_PRECONDITION',
      message: /^stages: the folder of model "tiny" has no map of stage 4; it has 1, 2, and 0/,
    });
    await assert.rejects(client.features(placed, { stages: [1, 1] }), /^VicreglError: stages: 1 is listed twice/);
  });
});

describe('upsample', () => {
  test('the enlarged map lies between the vectors of the map, on a grid of smaller cells; a region and cells are of it', async () => {
    const enlarged = await client.features(placed, { upsample: 2, l2Normalize: false });
    assert.deepEqual(enlarged.shape, [16, 24, whole.shape[2]]);
    assert.deepEqual(enlarged.grid.cellToPixel, { scaleX: 25, scaleY: 25, offsetX: 0, offsetY: 0 });
    assert.equal(enlarged.grid.stride, whole.grid.stride);
    assert.deepEqual(
      vector(enlarged, 0, 0),
      vector(whole, 0, 0),
      'beyond the outermost centres nothing is extrapolated',
    );
    const [a, b, c, d] = [vector(whole, 2, 4), vector(whole, 2, 5), vector(whole, 3, 4), vector(whole, 3, 5)];
    close(
      vector(enlarged, 5, 9),
      a.map((value, i) => (9 * value + 3 * b[i]! + 3 * c[i]! + d[i]!) / 16),
    );
    const region = { left: 101, top: 51, right: 174, bottom: 99 };
    const part = await client.features(placed, { upsample: { rows: 16, columns: 24 }, region });
    assert.deepEqual([part.shape, part.grid.firstRow, part.grid.firstColumn], [[2, 3, whole.shape[2]], 2, 4]);
    assert.deepEqual(vector(part, 1, 2), vector(enlarged, 3, 6));
    const cells = [
      { row: 15, column: 23 },
      { row: 3, column: 6 },
    ];
    const picked = await client.features(placed, { upsample: 2, cells, dtype: 'float16' });
    close(picked.data, [...vector(enlarged, 15, 23), ...vector(enlarged, 3, 6)], 2e-3);
  });

  test('maps of several stages get one size, and their vectors are normalised, pooled and sent in chunks as others', async () => {
    const upsample = { rows: 64, columns: 100 };
    const options = { stages: [1, 0], upsample, l2Normalize: true } as const;
    const { maps } = await client.features(placed, options);
    for (const { shape, grid, data } of maps) {
      assert.deepEqual(shape.slice(0, 2), [64, 100]);
      assert.deepEqual(grid.cellToPixel, { scaleX: 6, scaleY: 6.25, offsetX: 0, offsetY: 0 });
      close([Math.hypot(...data.subarray(0, shape[2]!))], [1]);
    }
    assert.deepEqual((await client.features(placed, { ...options, chunked: true })).maps, maps);
    const pooling = [{ box: { left: 50, top: 50, right: 100, bottom: 100 } }];
    const { data, coverage } = await client.features(placed, { upsample: 2, pooling });
    const enlarged = await client.features(placed, { upsample: 2 });
    const four = [2, 3].flatMap((row) => [2, 3].map((column) => vector(enlarged, row, column)));
    close(
      data,
      four[0]!.map((_, i) => four.reduce((sum, one) => sum + one[i]!, 0) / 4),
    );
    assert.deepEqual(coverage, [1]);
  });

  test('a size below the map, none, and one over the limits are rejected before the network runs', async () => {
    const refused = (upsample: Parameters<Client['features']>[1], code: string, message: RegExp) =>
      assert.rejects(client.features(placed, upsample), { code, message });
    await refused({ upsample: 0 }, 'INVALID_ARGUMENT', /^upsample.factor: 0 must be at least 1/);
    await refused({ upsample: { rows: 7, columns: 12 } }, 'INVALID_ARGUMENT', /^upsample: 7 rows .* 8 x 12 cells/);
    await refused({ upsample: { rows: 0, columns: 0 } }, 'INVALID_ARGUMENT', /^upsample: 0 rows/);
    // Of 8 x 12 cells, even if a single cell is asked for: its grid would have more columns than a message can say.
    const largest = Math.floor((2 ** 32 - 1) / 12);
    const oneCell = { cells: [{ row: 8 * largest - 1, column: 12 * largest - 1 }] };
    const { grid } = await client.features(placed, { upsample: largest, ...oneCell });
    assert.deepEqual([grid.rows, grid.columns], [8 * largest, 12 * largest]);
    await refused(
      { upsample: largest + 1, ...oneCell },
      'INVALID_ARGUMENT',
      /^upsample: factor 357913942: .* at most 4294967295 rows and columns are possible; ask for a factor of at most 357913941/,
    );
    await refused({ upsample: largest }, 'RESOURCE_EXHAUSTED', /over the limit of 536870912 \(mapBytes\)/);
    const pooling = [{ box: { left: 0, top: 0, right: 10, bottom: 10 } }];
    await refused(
      { upsample: 500, pooling },
      'RESOURCE_EXHAUSTED',
      /^upsample: maps with 4000 x 6000 cells .*mapBytes/,
    );
    await refused(
      { upsample: 150 },
      'RESOURCE_EXHAUSTED',
      /1200 x 1800 cells with 16 channels .* \(max_response_bytes\)/,
    );
  });
});

describe('tiles', () => {
  const size = { width: 160, height: 96 };
  let pixels: { readonly width: number; readonly height: number; readonly rgb: Uint8Array };
  before(async () => {
    const rgb = await sharp(image).resize(size.width, size.height, { fit: 'fill' }).removeAlpha().raw().toBuffer();
    pixels = { ...size, rgb };
  });

  test('the merged map is the weighted mean of the maps of the windows, on the grid of the whole image', async () => {
    const options = { stages: [0, 1] } as const;
    const merged = await client.features(
      { pixels, resize: { kind: 'native' } },
      { ...options, tiles: { width: 96, overlap: 64 } },
    );
    assert.deepEqual(merged.shape, [3, 5, whole.shape[2]]);
    const plain = await client.features({ pixels, resize: { kind: 'native' } }, options);
    assert.deepEqual(
      merged.maps.map(({ grid }) => grid),
      plain.maps.map(({ grid }) => grid),
    );
    assert.notDeepEqual(merged.data, plain.data);
    const lefts = [0, 32, 64];
    const windows = await Promise.all(
      lefts.map((left) =>
        client.features({ pixels, crop: { left, top: 0, width: 96, height: 96 }, resize: { kind: 'native' } }, options),
      ),
    );
    for (const [at, map] of merged.maps.entries()) {
      const [rows, columns, channels] = map.shape as [number, number, number];
      const cells = 96 / (size.width / columns);
      const expected = Float32Array.from(map.data, (_, i) => {
        const [row, column, channel] = [
          Math.floor(i / channels / columns),
          Math.floor(i / channels) % columns,
          i % channels,
        ];
        let [sum, weights] = [0, 0];
        for (const [w, left] of lefts.entries()) {
          const own = column - (left * columns) / size.width;
          if (own < 0 || own >= cells) continue;
          const weight = Math.min(own + 1, cells - own);
          sum += weight * windows[w]!.maps[at]!.data[(row * cells + own) * channels + channel]!;
          weights += weight;
        }
        return sum / weights;
      });
      assert.equal(rows, cells);
      close(map.data, expected);
    }
  });

  test('one window gives the same numbers as no tiles; without a resize the image, or its crop, keeps its size', async () => {
    const native = { pixels, resize: { kind: 'native' } } as const;
    const plain = await client.features(native);
    assert.deepEqual((await client.features(pixels, { tiles: {} })).data, plain.data);
    const crop = { left: 10, top: 20, width: 128, height: 64, flip: true };
    const cropped = await client.features({ pixels, crop, resize: { kind: 'native' } });
    assert.deepEqual(
      await client.features({ pixels, crop }, { tiles: { width: 128, height: 64, overlap: 0 } }),
      cropped,
    );
  });

  test('a photograph may be larger than a network input', async () => {
    // Over the 4,194,304 pixels of a network input.
    const large = { pixels: image, resize: { kind: 'fit', width: 2560, height: 1664 } } as const;
    await assert.rejects(client.features(large), /inputPixels/);
    const { shape, grid } = await client.features(large, { tiles: { width: 1664, overlap: 128 } });
    assert.deepEqual(shape, [52, 80, whole.shape[2]]);
    assert.deepEqual(grid.cellToPixel, { scaleX: 7.5, scaleY: 400 / 52, offsetX: 0, offsetY: 0 });
  });

  test('the other options apply to the merged map, also in streams and batches', async () => {
    const options = { tiles: { width: 128 }, upsample: 2, pca: { components: 3 }, dtype: 'float16' } as const;
    const once = await client.features(placed, options);
    assert.deepEqual(once.shape, [16, 24, 3]);
    const items = [1, 2, 3].map((i) => ({ id: `${i}`, image: placed }));
    let answers = 0;
    for await (const answer of client.featuresStream(items, options)) {
      assert.ok(answer.status === 'fulfilled', String(answer.status === 'rejected' && answer.reason));
      // Tiles of several images share batches, which changes the last digits.
      close(answer.value.data, once.data, 0.02);
      answers++;
    }
    assert.equal(answers, 3);
    const [batched] = await client.featuresBatch([{ pixels, resize: { kind: 'native' } }], { tiles: { width: 64 } });
    assert.equal(batched?.status, 'fulfilled');
  });

  test('windows that the model or the service cannot take are rejected with the field', async () => {
    const refused = (tiles: object, code: string, message: RegExp) =>
      assert.rejects(client.features(placed, { tiles }), { code, message });
    await refused({ width: 100 }, 'INVALID_ARGUMENT', /^tiles: width is 100, not a multiple/);
    await refused({ width: 64, overlap: 64 }, 'INVALID_ARGUMENT', /^tiles: overlap is 64, not less than/);
    await refused(
      { width: 32, overlap: 0 },
      'RESOURCE_EXHAUSTED',
      /^tiles: .* has 96 tiles, over the limit of 64 \(tilesPerImage/,
    );
    await assert.rejects(
      client.features(
        { pixels: image, resize: { kind: 'fit', width: 4096, height: 2048 } },
        { tiles: { width: 4096 } },
      ),
      { code: 'INVALID_ARGUMENT', message: /^tiles: network input of 4096 x 2048 .* \(inputPixels\)/ },
    );
    await assert.rejects(client.features({ resize }, { tiles: {} }), /^VicreglError: image: no pixels/);
  });
});

describe('int8', () => {
  test('differs by at most half a scale and has a quarter of the bytes', async () => {
    const { data, tensor } = await client.features(placed, { dtype: 'int8' });
    assert.equal(tensor.dtype, 'int8');
    assert.ok('scales' in tensor);
    assert.deepEqual(tensor.shape, whole.shape);
    const channels = whole.shape[2]!;
    for (const [i, value] of whole.data.entries()) {
      const scale = tensor.scales[Math.floor(i / channels)]!;
      assert.ok(Math.abs(data[i]! - value) <= 0.5 * scale * (1 + 1e-4));
    }
  });

  test('works for a global vector', async () => {
    const { vector: exact } = await client.embed(image);
    const { vector: rounded, tensor } = await client.embed(image, { dtype: 'int8' });
    assert.ok('scales' in tensor && tensor.scales.length === 1);
    for (const [i, value] of exact.entries()) assert.ok(Math.abs(rounded[i]! - value) <= 0.51 * tensor.scales[0]!);
  });
});

describe('chunks', () => {
  for (const dtype of ['float32', 'int8'] as const) {
    test(`a large map in ${dtype} equals that of the unary answer`, async () => {
      const large = { pixels: image, resize: { kind: 'fit', width: 2048, height: 1536 } } as const;
      const options = { dtype, stages: [1, 0], l2Normalize: true };
      const once = await client.features(large, options);
      assert.ok(once.tensor.data.byteLength > 1024 * 1024 * (dtype === 'int8' ? 0.5 : 2));
      assert.deepEqual(await client.features(large, { ...options, chunked: true }), once);
    });
  }

  test('requested cells are sent in chunks too, and errors keep their status codes', async () => {
    const cells = [{ row: 1, column: 1 }];
    assert.deepEqual(await client.features(placed, { cells, chunked: true }), await client.features(placed, { cells }));
    await assert.rejects(client.features(image.subarray(0, 900), { chunked: true }), { reason: 'IMAGE_CORRUPT' });
  });
});

describe('pooling', () => {
  const [width, height] = [600, 400];
  /** A disc that overlaps several cells, as a bitmap. */
  const disc = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) if (Math.hypot(x + 0.5 - 313, y + 0.5 - 171) < 97) disc[y * width + x] = 1;
  }

  /** Run lengths along the columns. The first run is outside. */
  function columnRuns(): number[] {
    const counts = [0];
    let inside = 0;
    for (let x = 0; x < width; x++) {
      for (let y = 0; y < height; y++) {
        if (disc[y * width + x] !== inside) {
          inside = 1 - inside;
          counts.push(0);
        }
        counts[counts.length - 1]!++;
      }
    }
    return counts;
  }

  /** Mean over the pixels of the disc of their cells' vectors. */
  function plainMean(): number[] {
    const sums = new Array<number>(whole.shape[2]!).fill(0);
    let pixels = 0;
    for (const [i, inside] of disc.entries()) {
      if (inside === 0) continue;
      pixels++;
      const own = vector(whole, Math.floor(Math.floor(i / width) / 50), Math.floor((i % width) / 50));
      for (const [c, value] of own.entries()) sums[c]! += value;
    }
    return sums.map((sum) => sum / pixels);
  }

  test('boxes, bitmaps, run lengths and PNG files give the means computed by plain loops', async () => {
    const png = await sharp(
      disc.map((byte) => byte * 255),
      { raw: { width, height, channels: 1 } },
    )
      .toColourspace('b-w')
      .png()
      .toBuffer();
    const pooling: PoolingRegion[] = [
      { box: { left: 50, top: 100, right: 175, bottom: 150 } },
      { bitmap: { width, height, data: disc } },
      { runLengths: { width, height, counts: columnRuns() } },
      { png },
    ];
    const { data, shape, coverage } = await client.features(placed, { pooling });
    const channels = whole.shape[2]!;
    assert.deepEqual(shape, [4, channels]);
    assert.deepEqual(coverage, [1, 1, 1, 1]);
    const [a, b, c] = [vector(whole, 2, 1), vector(whole, 2, 2), vector(whole, 2, 3)];
    close(
      data.subarray(0, channels),
      a.map((value, i) => (value * 50 + b[i]! * 50 + c[i]! * 25) / 125),
    );
    const mean = plainMean();
    for (const region of [1, 2, 3]) close(data.subarray(region * channels, (region + 1) * channels), mean);
  });

  test('parts that the network did not see count as not covered', async () => {
    // The central square of the photograph is columns 100 to 500.
    const centre = { pixels: image, resize: { kind: 'shortestSide', resize: 128, crop: 128 } } as const;
    const boxes = [
      [0, 200],
      [0, 100],
    ].map(([left, right]) => ({ box: { left: left!, right: right!, top: 0, bottom: 400 } }));
    const { coverage, data, shape } = await client.features(centre, { pooling: boxes, l2Normalize: true });
    close(coverage!, [0.5, 0], 1e-6);
    const channels = shape[1]!;
    close([Math.hypot(...data.subarray(0, channels))], [1]);
    assert.ok(data.subarray(channels).every((value) => value === 0));
  });

  test('a wrong region is reported with its index', async () => {
    const box = { box: { left: 0, top: 0, right: 10, bottom: 10 } };
    const refused = (region: PoolingRegion, message: RegExp) =>
      assert.rejects(client.features(placed, { pooling: [box, region] }), { code: 'INVALID_ARGUMENT', message });
    const size = { width: 10, height: 10 };
    await refused(
      { bitmap: { ...size, data: disc } },
      /^pooling.regions\[1\].mask.bitmap: a mask of 10 x 10 .* 600 x 400/,
    );
    await refused(
      { bitmap: { width, height, data: new Uint8Array(7) } },
      /bitmap.data: 7 bytes are not width \* height/,
    );
    await refused(
      { bitmap: { width, height, data: new Uint8Array(width * height) } },
      /^pooling.regions\[1\]: has no area/,
    );
    await refused({ runLengths: { width, height, counts: [3, 4] } }, /regions\[1\]: run lengths cover 7 pixels/);
    await refused({ runLengths: { width, height, counts: '\n' } }, /regions\[1\]: compressed run lengths/);
    await refused({ png: image }, /regions\[1\]: mask is a JPEG file; send a PNG file/);
    const colour = await sharp(image).png().toBuffer();
    await refused({ png: colour }, /regions\[1\]: mask is RGB, with several values per pixel/);
    await assert.rejects(
      client.features(placed, { pooling: new Array(6).fill(box) }),
      /6 are over the limit of 5 \(poolingRegions\)/,
    );
    await assert.rejects(client.features(placed, { pooling: [] }), /pooling.regions: empty/);
  });
});

describe('pca', () => {
  test('projects the map onto the basis, and a second image can use the same basis', async () => {
    const { data, shape, pca } = await client.features(placed, { pca: { components: 3 } });
    assert.deepEqual(shape, [8, 12, 3]);
    const basis = pca!.basis!;
    const channels = whole.shape[2]!;
    const projected = (map: Features) =>
      Array.from({ length: 96 * 3 }, (_, i) => {
        const [cell, component] = [Math.floor(i / 3), i % 3];
        let sum = 0;
        for (let c = 0; c < channels; c++) {
          sum += (map.data[cell * channels + c]! - basis.mean[c]!) * basis.components[component * channels + c]!;
        }
        return sum;
      });
    close(data, projected(whole), 1e-4);
    const [first, second, third] = pca!.explainedVariance as [number, number, number];
    assert.ok(first >= second && second >= third && third >= 0);
    const share = pca!.explainedVarianceRatio.reduce((sum, one) => sum + one, 0);
    assert.ok(share > 0 && share <= 1 + 1e-9);
    const other = { pixels: await photo('astronaut.jpg'), resize };
    const shared = await client.features(other, { pca: { basis } });
    close(shared.data, projected(await client.features(other)), 1e-4);
    assert.equal(shared.pca!.basis, undefined);
    assert.deepEqual((await client.features(placed, { pca: { components: 3 } })).data, data);
  });

  test('an impossible number of components and a basis that does not fit are rejected', async () => {
    const refused = async (options: Parameters<Client['features']>[1], code: string, message: RegExp) =>
      assert.rejects(client.features(placed, options), { code, message });
    await refused({ pca: { components: 0 } }, 'INVALID_ARGUMENT', /^pca.components: 0 must be 1 to 8/);
    await refused({ pca: { components: 9 } }, 'INVALID_ARGUMENT', /^pca.components: 9 must be 1 to 8/);
    const cells = [{ row: 0, column: 0 }];
    await refused({ cells, pca: { components: 3 } }, 'INVALID_ARGUMENT', /^pca: 1 vectors .* at most 0 principal/);
    const basis = { mean: new Float32Array(3), components: new Float32Array(6) };
    await refused({ pca: { basis } }, 'INVALID_ARGUMENT', /^pca: the basis is for vectors of length 3/);
    const many = { stages: [1], pca: { components: 8 } };
    const large = { pixels: image, resize: { kind: 'fit', width: 1024, height: 1024 } } as const;
    await assert.rejects(client.features(large, many), { code: 'RESOURCE_EXHAUSTED', message: /^pca: 65536 vectors/ });
  });
});

describe('the server information', () => {
  test('GetServerInfo returns every limit with its value, the versions and the actual provider', async () => {
    const info = await client.serverInfo();
    assert.equal(info.limits.get('stream_items')?.value, limits.streamItems);
    assert.deepEqual(info.limits.get('max_chunked_bytes'), {
      value: limits.maxChunkedBytes,
      unit: 'bytes',
      description: 'Maximum total size of a chunked response (ExtractFeaturesChunked) in bytes.',
    });
    assert.equal(info.limits.get('pooling_regions')?.value, 5);
    assert.equal(info.limits.get('image_pixels')?.unit, 'pixels');
    assert.equal(info.limits.get('max_queue_delay_ms')?.unit, 'milliseconds');
    for (const [name, { value, description }] of info.limits) {
      // By default, batches do not wait for further images, and the calls of an aged connection have no time limit.
      const zero = ['max_queue_delay_ms', 'connection_age_grace_seconds'].includes(name);
      assert.ok(zero ? value === 0 : Number.isFinite(value) && value > 0, name);
      assert.notEqual(description, '', name);
    }
    assert.match(info.onnxruntimeVersion, /^\d+\.\d+\.\d+/);
    assert.equal(info.nodeVersion, process.versions.node);
    assert.equal(info.models[0]?.provider, 'cpu');
    assert.ok(info.uptimeSeconds > 0);
  });

  test('ListModels names the models, name@version selects one, and an unknown version is an error', async () => {
    const models = await client.models();
    assert.deepEqual(
      models.map(({ name, version, isDefault, state, workers }) => ({ name, version, isDefault, state, workers })),
      [{ name: 'tiny', version: '2', isDefault: true, state: 'ready', workers: 1 }],
    );
    assert.equal((await client.embed(image, { model: 'tiny@2' })).model.version, '2');
    await assert.rejects(client.embed(image, { model: 'tiny@1' }), { code: 'NOT_FOUND', reason: 'UNKNOWN_MODEL' });
  });
});
