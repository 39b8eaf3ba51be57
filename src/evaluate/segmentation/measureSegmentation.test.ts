import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import type { OutputName } from '../../engine/engine.js';
import { silentProgress } from '../../progress/work.js';
import { stream } from '../../tensor/random.js';
import { featureCache } from '../featureCache.js';
import { pixelSubject } from '../subjects/pixelSubject.js';
import type { Subject } from '../subjects/subject.js';
import { frozenCrops } from './frozenCrops.js';
import { freezeMaps } from './frozenMaps.js';
import { countClasses, segmentationMeasures } from './iou.js';
import { measureSegmentation } from './measureSegmentation.js';
import { headMaps, headRate, protocolOf, SCHEDULE_DEFAULTS } from './protocol.js';
import { scaledCrops } from './scaledCrops.js';
import { openSegmentationData, type SegmentationData } from './segmentationData.js';
import { createSegmenter, photographsAtOnce } from './segmenter.js';
import { copyWindow, paddedSize, windowOptions, windowsOf } from './windows.js';

const convNext = protocolOf({ family: 'convnext', depths: [1, 1], widths: [4, 8], layerScale: 0 });
const resNet = protocolOf({ family: 'resnet', block: 'basic', layers: [1], width: 8 });
const stages = pixelSubject(
  new Map<OutputName, number>([
    ['maps', 8],
    ['stage1', 4],
    ['stage2', 8],
  ]),
);
const lastMap = pixelSubject(new Map<OutputName, number>([['maps', 8]]));

describe('linear segmentation of frozen maps', () => {
  let root: string;
  let data: SegmentationData;
  /** Photographs of 50 x 40 pixels: the right part, from some column on, is bright, and of class 1. */
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-measure-'));
    for (const part of ['train', 'test']) {
      for (const folder of ['images', 'masks']) await mkdir(join(root, part, folder), { recursive: true });
      for (let i = 0; i < 4; i++) {
        const edge = 12 + 8 * i;
        const bright = Uint8Array.from({ length: 50 * 40 }, (_, at) => (at % 50 < edge ? 0 : 1));
        const raw = { raw: { width: 50, height: 40, channels: 1 as const } };
        const name = `${part}${i}.png`;
        await sharp(
          bright.map((value) => 60 + 120 * value + ((i * 7) % 5)),
          raw,
        )
          .png()
          .toFile(join(root, part, 'images', name));
        await sharp(bright, raw)
          .toColourspace('b-w')
          .png()
          .toFile(join(root, part, 'masks', name));
      }
    }
    data = await openSegmentationData(join(root, 'train'), { layout: 'folder', test: join(root, 'test'), seed: 0 });
  });
  after(() => rm(root, { recursive: true }));

  const settings = {
    steps: 60,
    batch: 2,
    crop: 32,
    learningRate: 0.05,
    ...SCHEDULE_DEFAULTS,
    window: { side: 512, step: 341 },
    flip: true,
    seed: 1,
    session: { threads: 1 },
    cacheDir: undefined,
    progress: silentProgress,
  };
  const measure = async (
    source: typeof stages,
    more: Partial<Parameters<typeof measureSegmentation>[3]> = {},
    subject?: Subject,
  ) => {
    const scratch = await mkdtemp(join(root, 'scratch-'));
    const protocol = source === stages ? convNext : resNet;
    return measureSegmentation(subject ?? (await source.open()), source, data, {
      ...settings,
      protocol,
      scratch,
      ...more,
    });
  };
  const all = Uint32Array.of(0, 1, 2, 3);

  for (const [name, source] of [
    ['of stages', stages],
    ['of a last map', lastMap],
  ] as const) {
    it(`${name} finds what a threshold of brightness tells apart`, async () => {
      const { figures, classes } = await measure(source);
      assert.deepEqual(
        figures.map((figure) => figure.name),
        ['miou', 'pixel_accuracy', 'image_miou'],
      );
      assert.ok(figures[0]!.over(all) > 0.85, String(figures[0]!.over(all)));
      assert.equal(classes!.values.length, 2);
    });
  }

  it('goes on after it was killed, to the same head and figures as without a break', async () => {
    const whole = await measure(stages);
    const cacheDir = join(root, 'cache');
    /** Fails after some runs of the network, in the maps or in the test. */
    const failing = async (after: number): Promise<Subject> => {
      const subject = await stages.open();
      let runs = 0;
      return {
        ...subject,
        run: (batch, wants) => (runs++ < after ? subject.run(batch, wants) : Promise.reject(new Error('killed'))),
      };
    };
    await assert.rejects(measure(stages, { cacheDir }, await failing(2)), /killed/);
    await assert.rejects(measure(stages, { cacheDir, steps: 60, progress: killedAt('steps', 52) }), /killed/);
    // The maps are complete now: what fails is the test.
    await assert.rejects(measure(stages, { cacheDir }, await failing(1)), /killed/);
    const resumed = await measure(stages, { cacheDir });
    assert.deepEqual(Buffer.from(resumed.head), Buffer.from(whole.head));
    assert.deepEqual(
      resumed.figures.map(({ over }) => over(all)),
      whole.figures.map(({ over }) => over(all)),
    );
    // Another seed is another head.
    const other = await measure(stages, { cacheDir, seed: 2 });
    assert.notDeepEqual(Buffer.from(other.head), Buffer.from(whole.head));
    // Nothing runs when all is known.
    const known = await measure(stages, { cacheDir }, await failing(0));
    assert.deepEqual(
      known.figures.map(({ over }) => over(all)),
      whole.figures.map(({ over }) => over(all)),
    );
    assert.ok((await readdir(cacheDir, { recursive: true })).every((file) => !file.endsWith('.tmp')));
  });

  it('reads maps from the temporary folder where memory has no room, and removes them before the test', async () => {
    const whole = await measure(stages);
    const scratch = await mkdtemp(join(root, 'scratch-'));
    const left: string[][] = [];
    const onPrediction = async () => void left.push(await readdir(join(scratch, 'maps')));
    const found = await measure(stages, { memoryBytes: 0, scratch, onPrediction });
    assert.deepEqual(Buffer.from(found.head), Buffer.from(whole.head));
    assert.deepEqual(left, [[], [], [], []]);
  });

  it('runs on crops of rescaled photographs, and goes on after it was killed', async () => {
    const scale = [0.5, 2] as const;
    const whole = await measure(stages, { scale, learningRate: 0.1 });
    assert.ok(whole.figures[0]!.over(all) > 0.8, String(whole.figures[0]!.over(all)));
    const cacheDir = join(root, 'scaled-cache');
    const killed = measure(stages, { scale, learningRate: 0.1, cacheDir, progress: killedAt('steps', 55) });
    await assert.rejects(killed, /killed/);
    const resumed = await measure(stages, { scale, learningRate: 0.1, cacheDir });
    assert.deepEqual(Buffer.from(resumed.head), Buffer.from(whole.head));
    const frozen = await measure(stages, { learningRate: 0.1, cacheDir });
    assert.notDeepEqual(Buffer.from(frozen.head), Buffer.from(whole.head));
  });

  it('sees photographs at another size, in training and test', async () => {
    const small = await measure(stages, { shortest: 20 });
    const large = await measure(stages, { shortest: 80 });
    const own = await measure(stages, { shortest: 40 });
    assert.deepEqual(Buffer.from(own.head), Buffer.from((await measure(stages)).head));
    for (const { figures } of [small, large]) assert.ok(figures[0]!.over(all) > 0.85, String(figures[0]!.over(all)));
    // Cells of 4 pixels of a photograph of twice the size see the edge more finely than those of one of half the size.
    assert.ok(large.figures[0]!.over(all) > small.figures[0]!.over(all));
    await assert.rejects(measure(stages, { shortest: 20_000 }), {
      message: /^--resize shortest:20000 makes 25000 x 20000 pixels of .*0\.png, which has 50 x 40; at most 200 mega/,
    });
  });

  it('keeps what it has computed of each size apart in the cache', async () => {
    const cacheDir = join(root, 'sizes-cache');
    for (const shortest of [20, undefined, 80]) {
      const [cached, alone] = [await measure(stages, { cacheDir, shortest }), await measure(stages, { shortest })];
      assert.deepEqual(Buffer.from(cached.head), Buffer.from(alone.head));
      assert.equal(cached.figures[0]!.over(all), alone.figures[0]!.over(all));
    }
  });

  it('takes the pixels and the labels of a crop from the same place', async () => {
    const subject = await lastMap.open();
    const crop = 32;
    const options = { maps: headMaps(resNet, lastMap), crop, flip: true };
    const cells = (crop / 8) ** 2;
    const { channels } = lastMap.outputs.get('maps')!;
    let [padded, mirrored] = [0, 0];
    // Photographs of 25 x 20 to 100 x 80 pixels, smaller and larger than the crop, and frozen ones of 100 x 80.
    const freezing = { ...options, ...settings, crop, shortest: 80, digest: 'pixels', cache: featureCache(undefined) };
    const frozen = await freezeMaps(subject, data.train, { ...freezing, memoryBytes: 1e9 });
    const sources = [
      scaledCrops(subject, data.train, data.labels, { ...options, scale: [0.5, 2] }),
      scaledCrops(subject, data.train, data.labels, { ...options, shortest: 80, scale: [0.25, 1] }),
      frozenCrops(data.train, frozen, data.labels, { ...options, shortest: 80 }),
    ];
    for (let seed = 0; seed < 24; seed++) {
      const source = sources[seed % sources.length]!;
      const target = { features: [new Float32Array(2 * cells * channels)], labels: new Uint8Array(2 * crop * crop) };
      const wanted = [0, 3].map((index) => ({ index, random: stream(seed, 'crop', index) }));
      await source.fill(wanted, target);
      for (let crops = 0; crops < 2; crops++) {
        const labels = target.labels.subarray(crops * crop * crop, (crops + 1) * crop * crop);
        const features = target.features[0]!.subarray(crops * cells * channels, (crops + 1) * cells * channels);
        if (labels.includes(255)) padded++;
        if (labels[0] === 1 && labels.includes(0)) mirrored++;
        // Cells of one label have its brightness.
        for (let cell = 0; cell < cells; cell++) {
          const [row, column] = [Math.floor(cell / 4), cell % 4];
          const own = new Set<number>();
          // With the pixels beside the cell, to which the kernel reaches.
          for (let y = Math.max(0, row * 8 - 4); y < Math.min(crop, row * 8 + 12); y++) {
            for (let x = Math.max(0, column * 8 - 4); x < Math.min(crop, column * 8 + 12); x++)
              own.add(labels[y * crop + x]!);
          }
          if (own.size > 1 || own.has(255)) continue;
          const bright = features[cell * channels]! > 0;
          assert.equal(bright, own.has(1), `seed ${seed}, crop ${crops}, cell ${cell}: ${features[cell * channels]}`);
        }
      }
    }
    assert.ok(padded > 0 && mirrored > 0, `${padded} padded, ${mirrored} mirrored`);
  });

  it('reads all stages of a baseline that has another number of them than the model', async () => {
    const three = pixelSubject(
      new Map<OutputName, number>([
        ['maps', 16],
        ['stage1', 4],
        ['stage2', 8],
        ['stage3', 16],
      ]),
    );
    const names = async (source: typeof stages) =>
      (await measure(source, { protocol: convNext, steps: 2 })).maps.map(({ name }) => name);
    assert.deepEqual(await names(three), ['stage1', 'stage2', 'stage3']);
    assert.deepEqual(await names(stages), ['stage1', 'stage2']);
    assert.throws(() => headMaps(convNext, lastMap), /no maps of stages/);
  });

  it('names the head where its graph is none, or of another number of classes', async () => {
    const { head, maps } = await measure(stages, { steps: 2 });
    const subject = await stages.open();
    const options = { maps, classes: 3, window: settings.window, session: settings.session };
    await assert.rejects(createSegmenter(subject, Uint8Array.of(1, 2), options), {
      name: 'HeadError',
      message: /^the graph of the head cannot be used: .*train the head again$/s,
    });
    const segmenter = await createSegmenter(subject, head, options);
    const image = { width: 16, height: 8, data: new Uint8Array(16 * 8 * 3) };
    await assert.rejects(segmenter.segment(image), {
      name: 'HeadError',
      message: /logits of \[1,2,4,2\], .* \[1,2,4,3\]/,
    });
    await segmenter.close();
  });

  it('refuses a photograph that has changed since it was checked', async () => {
    const path = data.test[1]!.image;
    const bytes = await readFile(path);
    await writeFile(path, await readFile(data.test[0]!.image));
    try {
      await assert.rejects(measure(stages, { steps: 2 }), {
        message: `${path} has changed since it was checked; run the evaluation again`,
      });
    } finally {
      await writeFile(path, bytes);
    }
  });

  /** Progress that fails at a unit of a part of the work. */
  function killedAt(unit: string, at: number) {
    let [current, done] = ['', 0];
    return {
      begin(_: string, __: number, of: string) {
        [current, done] = [of, 0];
      },
      advance(units = 1) {
        done += units;
        if (current === unit && done >= at) throw new Error('killed');
      },
    };
  }

  it('in windows equals the whole photograph, where cells see no further than themselves', async () => {
    const subject = await lastMap.open();
    const { head, maps } = await measure(lastMap);
    const pixels = Uint8Array.from({ length: 70 * 45 * 3 }, (_, i) => ((i % 210) * 3 + Math.floor(i / 210) * 5) % 256);
    const image = { width: 70, height: 45, data: pixels };
    const segmented = async (side: number, step: number) => {
      const segmenter = await createSegmenter(subject, head, {
        maps,
        classes: 2,
        window: { side, step },
        session: { threads: 1 },
      });
      const labels = await segmenter.segment(image);
      await segmenter.close();
      return labels;
    };
    const whole = await segmented(512, 341);
    const windowed = await segmented(32, 16);
    assert.equal(whole.length, 70 * 45);
    const differ = whole.filter((label, i) => label !== windowed[i]).length;
    // At the edges of windows and in shifted cells alone.
    assert.ok(differ < 0.1 * whole.length, `${differ} of ${whole.length}`);
    assert.ok(whole.includes(0) && whole.includes(1));
  });
});

describe('the learning rate of a head', () => {
  const near = (step: number, expected: number, more: Partial<Parameters<typeof headRate>[1]>) => {
    const found = headRate(step, { steps: 40_000, learningRate: 1e-4, ...SCHEDULE_DEFAULTS, ...more });
    assert.ok(Math.abs(found / expected - 1) < 1e-9, `step ${step}: ${found}, not ${expected}`);
  };

  it('decays with the exponent 0.9 by default', () => {
    near(0, 1e-4, {});
    near(20_000, 1e-4 * 0.5 ** 0.9, {});
  });

  it("is that of mmsegmentation's poly policy with a linear warm-up", () => {
    const convNeXt = { decayPower: 1, warmupSteps: 1500 };
    near(0, 1e-10, convNeXt);
    near(750, 1e-4 * (1 - 750 / 40_000) * (1 - 0.5 * (1 - 1e-6)), convNeXt);
    near(1500, 1e-4 * (1 - 1500 / 40_000), convNeXt);
    near(20_000, 5e-5, convNeXt);
    const resNet = { learningRate: 0.01, endLearningRate: 1e-4 };
    near(0, 0.01, resNet);
    near(39_999, 0.0099 * (1 / 40_000) ** 0.9 + 1e-4, resNet);
  });
});

describe('photographs that are segmented at once', () => {
  const at = (width: number, height: number, classes: number) =>
    photographsAtOnce(
      [
        { width: 64, height: 64 },
        { width, height },
      ],
      { classes, window: { side: 512, step: 341 } },
      32,
    );

  it('are as many as the logits of the widest one allow: of a window, and of its rows at the width of the photograph', () => {
    assert.equal(at(512, 512, 21), Math.floor(2 ** 29 / (2 * 21 * 512 * 512 * 4)));
    assert.equal(at(500, 40, 21), Math.floor(2 ** 29 / ((500 * 40 + 512 * 64) * 21 * 4)));
    assert.equal(at(3000, 2000, 21), Math.floor(2 ** 29 / ((3000 + 512) * 512 * 21 * 4)));
    assert.equal(at(6000, 4000, 150), 1);
  });
});

describe('windows', () => {
  it('cover a photograph, the last at its edge, and have one size', () => {
    assert.deepEqual(windowsOf({ width: 480, height: 360 }, { side: 512, step: 341 }), [
      { left: 0, top: 0, width: 480, height: 360 },
    ]);
    const cut = windowsOf({ width: 1000, height: 500 }, { side: 512, step: 341 });
    assert.deepEqual(
      cut.map(({ left }) => left),
      [0, 341, 488],
    );
    assert.ok(cut.every(({ width, height, top }) => width === 512 && height === 500 && top === 0));
    assert.deepEqual(paddedSize({ width: 33, height: 64 }, 32), { width: 64, height: 64 });
    assert.deepEqual(paddedSize({ width: 33, height: 10 }, 32, 96), { width: 96, height: 96 });
  });

  it('are two thirds of their side apart by default, at least a pixel and at most the side', () => {
    assert.deepEqual(windowOptions(512), { side: 512, step: 341 });
    assert.deepEqual(windowOptions(1), { side: 1, step: 1 });
    assert.deepEqual(windowOptions(64, 100), { side: 64, step: 64 });
    assert.deepEqual(
      windowsOf({ width: 3, height: 1 }, windowOptions(1)).map(({ left }) => left),
      [0, 1, 2],
    );
  });

  it('are mirrored without their padding', () => {
    const image = { width: 3, height: 1, data: Uint8Array.of(1, 1, 1, 2, 2, 2, 3, 3, 3) };
    const target = new Uint8Array(4 * 3);
    copyWindow(image, { left: 1, top: 0, width: 2, height: 1 }, { width: 4, height: 1 }, true, target);
    assert.deepEqual([...target.subarray(0, 6)], [3, 3, 3, 2, 2, 2]);
    assert.deepEqual([...target.subarray(6)], [124, 116, 104, 124, 116, 104]);
  });
});

describe('intersection over union', () => {
  const classes = ['a', 'b', 'c', 'd'].map((name) => ({ name, colour: [0, 0, 0] as const }));
  const count = (truth: number[], predicted: number[]) =>
    countClasses({ data: Uint8Array.from(truth) }, Uint8Array.from(predicted), 4);

  it('comes from the sums over all images, and classes that are absent have none', () => {
    const images = [count([0, 0, 1, 255], [0, 1, 1, 1]), count([1, 1, 1, 1], [1, 1, 2, 1]), count([255], [3])];
    const { figures, classes: each } = segmentationMeasures(images, classes);
    // a: 1 of 2; b: 4 of 6; c: 0 of 1; d is predicted for an ignored pixel alone.
    assert.deepEqual(
      each!.values.map(({ value }) => value),
      [1 / 2, 4 / 6, 0, null],
    );
    const [miou, accuracy, own] = figures;
    const indices = Uint32Array.of(0, 1, 2);
    assert.ok(Math.abs(miou!.over(indices) - (1 / 2 + 4 / 6) / 3) < 1e-12);
    assert.ok(Math.abs(accuracy!.over(indices) - 5 / 7) < 1e-12);
    assert.ok(Number.isNaN(own!.perItem![2]!));
    assert.ok(Math.abs(miou!.over(Uint32Array.of(1, 1)) - (3 / 4 + 0) / 2) < 1e-12);
    assert.ok(Number.isNaN(miou!.over(Uint32Array.of(2, 2))));
  });
});
