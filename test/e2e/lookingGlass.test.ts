import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { pino } from 'pino';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import ts from 'typescript';
import { type Client, createClient } from '../../src/client/index.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { createOnnxEngine } from '../../src/engine/onnxEngine.js';
import { exportModel } from '../../src/models/exportModel.js';
import { openModelFolder } from '../../src/models/folder.js';
import { modelOutputs } from '../../src/models/modelOutputs.js';
import { createToken, createTokenStore, hashToken } from '../../src/serve/operations/auth/tokenStore.js';
import { createServer, type RunningServer } from '../../src/serve/server.js';
import { launchChromium, skipWithoutChromium } from '../support/chromium.js';
import { long } from '../support/longTests.js';
import { PYTHON } from '../support/python.js';
import { tinyManifest } from '../support/tinyModel.js';
import { tinyModelConfig, tinyWeights } from '../support/tinyWeights.js';
import { until } from '../support/until.js';
import { assertAccessible, assertFits, openWatched, type WatchedPage } from '../support/watchedPage.js';

/** The looking glass in a real browser, over a real service. */

const root = fileURLToPath(new URL('../../../', import.meta.url));
const run = promisify(execFile);
const photo = (name: string) => join(root, 'src/web/public/photos', name);
const skip = skipWithoutChromium();

test('both pages with all their files have less than 200 kB, and nothing in them is inline', async () => {
  const folder = join(root, 'dist/web');
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(total < 200_000, `${total} bytes`);
  for (const page of ['index.html', 'runs.html']) {
    const html = await readFile(join(folder, page), 'utf8');
    assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?:/i);
  }
});

describe('the looking glass', { skip }, () => {
  let scratch: string;
  let server: RunningServer;
  let client: Client;
  let browser: Browser;
  let url: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-glass-'));
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
      metricsAddress: 'off',
      httpAddress: '127.0.0.1:0',
    });
    client = createClient({ address: server.address, deadlineMs: 60_000 });
    url = `http://${server.httpAddress}/`;
    browser = await launchChromium();
  });
  after(async () => {
    await browser?.close();
    await client?.close();
    await server?.close();
    await rm(scratch, { recursive: true, force: true });
  });

  const visit = (options: Parameters<typeof openWatched>[2] = {}): Promise<WatchedPage> =>
    openWatched(browser, url, options);
  const upload = (page: Page, ...names: string[]) =>
    page.locator('input[type=file]').setInputFiles(names.map((name) => photo(name)));
  /** Waits until what the view asked for is there. */
  const settled = async (page: Page, text: string | RegExp) => {
    await page.getByText(text).first().waitFor();
    await page.locator('.loading').first().waitFor({ state: 'detached' });
  };
  const tab = (page: Page, name: string) => page.getByRole('tab', { name }).click();
  /** Colour of a canvas at shares of its size: red, green and blue. */
  const colourAt = (page: Page, index: number, x: number, y: number): Promise<number[]> =>
    page.evaluate(
      `(() => { const c = document.querySelectorAll('.stage canvas')[${index}];
        return [...c.getContext('2d').getImageData(${x} * c.width, ${y} * c.height, 1, 1).data].slice(0, 3); })()`,
    );
  /** Size of the network input at medium detail, for the bundled photographs of 360 x 240 pixels. */
  const fit = { kind: 'fit', width: 512, height: 352 } as const;

  test('uploaded photographs have the colours of their principal components, on one basis', async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    await upload(page, 'coffee.jpg', 'coffee-tilted.jpg');
    await settled(page, /basis of the first photograph/);
    await page.getByLabel('Map over photograph').fill('1');
    const pixels = await Promise.all(['coffee.jpg', 'coffee-tilted.jpg'].map((name) => readFile(photo(name))));
    const first = await client.features({ pixels: pixels[0]!, resize: fit }, { pca: { components: 3 } });
    const second = await client.features({ pixels: pixels[1]!, resize: fit }, { pca: { basis: first.pca!.basis! } });
    const [rows, columns] = first.shape as [number, number];
    const ranges = [0, 1, 2].map((c) => {
      const values = [first, second].flatMap(({ data }) => [...data.filter((_, i) => i % 3 === c)]);
      return [Math.min(...values), Math.max(...values)] as const;
    });
    for (const [index, { data }] of [first, second].entries()) {
      for (const [row, column] of [
        [0, 0],
        [3, 7],
        [rows - 1, columns - 1],
      ] as const) {
        const expected = ranges.map(
          ([low, high], c) => ((data[(row * columns + column) * 3 + c]! - low) / (high - low)) * 255,
        );
        const shown = await colourAt(page, index, (column + 0.5) / columns, (row + 0.5) / rows);
        for (const [c, value] of shown.entries()) {
          assert.ok(Math.abs(value - expected[c]!) <= 1.5, `${index} ${row} ${column}: ${shown}, expected ${expected}`);
        }
      }
    }
    assert.deepEqual(problems, []);
  });

  test('a photograph is upright whatever the orientation and the format of its file', async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    const [width, height] = [64, 32];
    // Four colours, one in each quarter.
    const rgb = new Uint8Array(width * height * 3).map((_, i) => {
      const [channel, x, y] = [i % 3, Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
      return [x < width / 2 ? 220 : 40, y < height / 2 ? 220 : 40, 128][channel]!;
    });
    const orientations = { webp: [1, 2, 3, 4, 5, 6, 7, 8], jpeg: [4, 6], png: [4, 6] };
    for (const format of ['webp', 'jpeg', 'png'] as const) {
      for (const orientation of orientations[format]) {
        const file = await sharp(rgb, { raw: { width, height, channels: 3 } })
          .withMetadata({ orientation })
          .toFormat(format, { quality: 100, lossless: format === 'webp' })
          .toBuffer();
        const { data, info } = await sharp(file).autoOrient().removeAlpha().raw().toBuffer({ resolveWithObject: true });
        const name = `${orientation}.${format}`;
        await page.locator('input[type=file]').setInputFiles({ name, mimeType: `image/${format}`, buffer: file });
        await page.getByText(name).first().waitFor();
        await settled(page, /cells/);
        await page.getByLabel('Map over photograph').fill('0');
        const [ratio] = (await page.evaluate(
          `[...document.querySelectorAll('.stage canvas')].map((c) => c.width / c.height)`,
        )) as [number];
        assert.equal(ratio > 1, info.width > info.height, name);
        const differs = async (): Promise<string | undefined> => {
          for (const [x, y] of [
            [0.2, 0.2],
            [0.8, 0.2],
            [0.2, 0.8],
          ] as const) {
            const shown = await colourAt(page, 0, x, y);
            const at = (Math.floor(y * info.height) * info.width + Math.floor(x * info.width)) * 3;
            const near = shown.every((value, c) => Math.abs(value - data[at + c]!) <= 12);
            if (!near) return `${name} at ${x}, ${y}: ${shown}, expected ${[...data.subarray(at, at + 3)]}`;
          }
          return undefined;
        };
        // The canvas is drawn after the slider has moved.
        for (let tries = 0; tries < 50 && (await differs()) !== undefined; tries++) await page.waitForTimeout(20);
        assert.equal(await differs(), undefined);
        await page.getByRole('button', { name: `Remove ${name}` }).click();
      }
    }
    assert.deepEqual(problems, []);
  });

  test('a file that the browser cannot show has the size of its map from the file', async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    const buffer = await sharp(photo('coffee.jpg')).withMetadata({ orientation: 6 }).tiff().toBuffer();
    await page.locator('input[type=file]').setInputFiles({ name: 'coffee.tif', mimeType: 'image/tiff', buffer });
    await tab(page, 'Norms');
    await settled(page, /16 x 11 cells/);
    await page.getByLabel('Detail').selectOption('coarse');
    await settled(page, /8 x 5 cells/);
    assert.deepEqual(problems, []);
  });

  test('the cell under the pointer, or of the arrow keys, is compared with all others', async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    await page.getByRole('button', { name: 'Coffee', exact: true }).click();
    await tab(page, 'Similarity');
    await settled(page, /most similar: row/);
    const cells = page.getByRole('application', { name: /coffee\.jpg/ });
    const box = (await cells.boundingBox())!;
    await page.mouse.move(box.x + (2.5 / 16) * box.width, box.y + (4.5 / 11) * box.height);
    await page.getByText('Cell at row 5, column 3 of coffee.jpg').waitFor();
    const { data, shape } = await client.features({ pixels: await readFile(photo('coffee.jpg')), resize: fit });
    const channels = shape[2]!;
    const vector = (cell: number) => data.subarray(cell * channels, (cell + 1) * channels);
    const cosine = (one: Float32Array, other: Float32Array) =>
      one.reduce((sum, value, i) => sum + value * other[i]!, 0) / (Math.hypot(...one) * Math.hypot(...other));
    const query = 4 * 16 + 2;
    const best = Array.from({ length: 11 * 16 }, (_, cell) => cell)
      .filter((cell) => cell !== query)
      .map((cell) => ({ cell, similarity: cosine(vector(cell), vector(query)) }))
      .sort((one, other) => other.similarity - one.similarity)[0]!;
    const caption = await page.getByText(/most similar: row/).textContent();
    const [, row, column, shown] = /row (\d+), column (\d+), cosine ([\d.]+)/.exec(caption!)!;
    assert.ok(Math.abs(Number(shown) - best.similarity) < 0.01, `${shown}, expected ${best.similarity}`);
    const found = (Number(row) - 1) * 16 + Number(column) - 1;
    assert.ok(best.similarity - cosine(vector(found), vector(query)) < 0.01);
    await cells.focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    await page.getByText('Cell at row 6, column 4 of coffee.jpg').waitFor();
    await page.keyboard.press('End');
    await page.getByText('Cell at row 6, column 16 of coffee.jpg').waitFor();
    assert.deepEqual(problems, []);
  });

  test('no norm is given of a cell that a coarser map does not have', async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    await upload(page, 'coffee.jpg');
    await tab(page, 'Norms');
    await settled(page, /11 x 16 cells/);
    const cells = page.getByRole('application', { name: /coffee\.jpg/ });
    await cells.focus();
    for (let row = 0; row < 11; row++) await page.keyboard.press('ArrowUp');
    await page.keyboard.press('End');
    await page.getByText(/Row 1, column 16 of coffee\.jpg: norm/).waitFor();
    await page.getByLabel('Detail').selectOption('coarse');
    await settled(page, /5 x 8 cells/);
    await page.getByText('Point at a cell to read its norm.').waitFor();
    assert.deepEqual(problems, []);
  });

  test('norms and the nearest photographs are those of the service', long, async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    await upload(page, 'coffee.jpg', 'coffee-tilted.jpg');
    await settled(page, /basis of the first/);
    await upload(page, 'cat.jpg');
    await tab(page, 'Norms');
    await settled(page, /mean norm/);
    const { data, shape } = await client.features({ pixels: await readFile(photo('coffee.jpg')), resize: fit });
    const channels = shape[2]!;
    const lengths = Array.from({ length: data.length / channels }, (_, cell) =>
      Math.hypot(...data.subarray(cell * channels, (cell + 1) * channels)),
    );
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    const caption = await page
      .getByText(/mean norm/)
      .first()
      .textContent();
    const shown = Number(/mean norm ([\d.]+)/.exec(caption!)![1]);
    assert.ok(Math.abs(shown - mean) < 0.01 * mean, `${shown}, expected ${mean}`);
    await tab(page, 'Nearest');
    await page.locator('.ranking li').nth(1).waitFor();
    const vectors = await Promise.all(
      ['coffee.jpg', 'coffee-tilted.jpg', 'cat.jpg'].map(
        async (name) => (await client.embed(await readFile(photo(name)), { l2Normalize: true })).vector,
      ),
    );
    const dot = (i: number) => vectors[0]!.reduce((sum, value, c) => sum + value * vectors[i]![c]!, 0);
    const expected = [
      ['coffee-tilted.jpg', dot(1)],
      ['cat.jpg', dot(2)],
    ] as const;
    assert.deepEqual(
      await page.locator('.ranking .name').allTextContents(),
      [...expected].sort((one, other) => other[1] - one[1]).map(([name]) => name),
    );
    const figures = await page.locator('.ranking .number').allTextContents();
    assert.deepEqual(
      figures,
      [...expected]
        .map(([, value]) => value.toFixed(3))
        .sort()
        .reverse(),
    );
    assert.deepEqual(problems, []);
  });

  test('matches of two photographs follow the controls, and a cell shows its best match', async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    await upload(page, 'coffee.jpg', 'coffee-tilted.jpg');
    await tab(page, 'Matches');
    const [a, b] = await Promise.all(
      ['coffee.jpg', 'coffee-tilted.jpg'].map(async (name) => ({ pixels: await readFile(photo(name)), resize: fit })),
    );
    const drawn = () => page.locator('.pairs .over').count();
    await settled(page, /^20 pairs\./);
    assert.equal(await drawn(), 20);
    await page.getByLabel('Gamma (pairs)').fill('176');
    await page.getByLabel('Mutual nearest only').check();
    await page.getByRole('checkbox', { name: 'Least similarity' }).check();
    await page.getByLabel('Homography').check();
    const options = { space: 'backbone', topGamma: 0, mutual: true, minSimilarity: 0.5, homography: true } as const;
    const { pairs, homography } = await client.match(a!, b!, options);
    await settled(page, `${pairs.length} pairs.`);
    assert.equal(await drawn(), pairs.length);
    const agreeing = homography!.matrix ? `${homography!.inlierCount} of ${pairs.length} pairs agree` : /No homography/;
    await page.getByText(agreeing).waitFor();
    await page.getByRole('application', { name: /first picture/ }).click({ position: { x: 5, y: 5 } });
    const all = await client.match(a!, b!, { space: 'backbone', topGamma: 0 });
    const { b: target, similarity } = all.pairs[0]!;
    const best = `Row 1, column 1 of the first: best match is row ${target.row + 1}, column ${target.column + 1} (cosine ${similarity!.toFixed(3)}`;
    await page.getByText(best).waitFor();
    await page.getByRole('application', { name: /second picture/ }).focus();
    await page.keyboard.press('ArrowLeft');
    await page.getByText(/of the second: best match is row/).waitFor();
    assert.deepEqual(problems, []);
  });

  test('the best match of a cell is the one by the chosen distance', async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    await upload(page, 'coffee.jpg', 'coffee-tilted.jpg');
    await tab(page, 'Matches');
    await settled(page, /^20 pairs\./);
    await page.getByLabel('Distance').selectOption('centred cosine');
    const [a, b] = await Promise.all(
      ['coffee.jpg', 'coffee-tilted.jpg'].map(async (name) => ({ pixels: await readFile(photo(name)), resize: fit })),
    );
    const matches = async (distance: 'l2' | 'centredCosine') =>
      (await client.match(a!, b!, { space: 'backbone', topGamma: 0, distance })).pairs;
    const l2 = new Map((await matches('l2')).map((pair) => [`${pair.a.row} ${pair.a.column}`, pair.b]));
    const other = (await matches('centredCosine')).find((pair) => {
      const by = l2.get(`${pair.a.row} ${pair.a.column}`)!;
      return by.row !== pair.b.row || by.column !== pair.b.column;
    });
    assert.ok(other);
    const first = page.getByRole('application', { name: /first picture/ });
    for (let i = 0; i <= 11; i++) await first.press('ArrowUp');
    await first.press('Home');
    for (let i = 0; i < other.a.row; i++) await first.press('ArrowDown');
    for (let i = 0; i < other.a.column; i++) await first.press('ArrowRight');
    const cell = `Row ${other.a.row + 1}, column ${other.a.column + 1} of the first`;
    const best = `row ${other.b.row + 1}, column ${other.b.column + 1} (cosine ${other.similarity!.toFixed(3)}, distance ${other.distance.toFixed(2)})`;
    await page.getByText(`${cell}: best match is ${best}`).waitFor();
    assert.deepEqual(problems, []);
  });

  test('the maps of a stage are matched as sent features', long, async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    await upload(page, 'coffee.jpg', 'coffee-tilted.jpg');
    await settled(page, /basis of the first/);
    await page.getByLabel('Detail').selectOption('coarse');
    await page.getByLabel('Stage').selectOption('2');
    await tab(page, 'Matches');
    await settled(page, /^20 pairs\./);
    const small = { kind: 'fit', width: 256, height: 160 } as const;
    const maps = await Promise.all(
      ['coffee.jpg', 'coffee-tilted.jpg'].map(
        async (name) =>
          (await client.features({ pixels: await readFile(photo(name)), resize: small }, { stages: [2] })).maps[0]!,
      ),
    );
    const { pairs } = await client.match({ features: maps[0]! }, { features: maps[1]! }, { topGamma: 20 });
    await page.getByRole('application', { name: /first picture/ }).focus();
    const row = (pair: (typeof pairs)[number]) => pair.a.row;
    assert.equal(pairs.length, 20);
    assert.ok(pairs.some((pair) => row(pair) > 0));
    assert.equal(await page.locator('.pairs .over').count(), 20);
    assert.deepEqual(problems, []);
  });

  test('crops drawn by hand are matched by location, also flipped', long, async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    await upload(page, 'coffee.jpg');
    await tab(page, 'Matches');
    await page.getByLabel('Two crops of the first, by location').check();
    await settled(page, /pairs\. Click a cell/);
    const drawing = (await page.locator('.drawing').boundingBox())!;
    const at = (x: number, y: number) =>
      [drawing.x + (x / 360) * drawing.width, drawing.y + (y / 240) * drawing.height] as const;
    await page.mouse.move(...at(36, 24));
    await page.mouse.down();
    await page.mouse.move(...at(200, 120));
    await page.mouse.move(...at(252, 216));
    await page.mouse.up();
    const first = page.locator('fieldset.crop-1');
    const numbers = await first
      .locator('input[type=number]')
      .evaluateAll((inputs) => inputs.map((input) => Number((input as unknown as { value: string }).value)));
    for (const [i, value] of [36, 24, 216, 192].entries()) assert.ok(Math.abs(numbers[i]! - value) <= 2, `${numbers}`);
    // A field that was emptied keeps its value.
    await first.getByLabel('width').fill('');
    await first.getByLabel('width').blur();
    assert.equal(await first.getByLabel('width').inputValue(), String(numbers[2]));
    await first.getByLabel('left').fill('40');
    await first.getByLabel('flip').check();
    await page.getByLabel('Gamma (pairs)').fill('9');
    await settled(page, /^9 pairs\./);
    const [left, top, width, height] = [40, ...numbers.slice(1)] as [number, number, number, number];
    const size = (w: number, h: number) => {
      const scale = 512 / Math.max(w, h);
      const side = (length: number) => Math.max(1, Math.round((length * scale) / 32)) * 32;
      return { kind: 'fit', width: side(w), height: side(h) } as const;
    };
    const pixels = await readFile(photo('coffee.jpg'));
    const { pairs } = await client.match(
      { pixels, crop: { left, top, width, height, flip: true }, resize: size(width, height) },
      { pixels, crop: { left: 137, top: 91, width: 223, height: 149 }, resize: size(223, 149) },
      { by: 'location', topGamma: 0 },
    );
    await page.getByRole('application', { name: /first picture/ }).focus();
    await page.keyboard.press('Home');
    const text = await page.getByText(/of the first: best match is row/).textContent();
    const [, row, column, toRow, toColumn] = /Row (\d+), column (\d+) .* row (\d+), column (\d+)/
      .exec(text!)!
      .map(Number);
    const pair = pairs.find((each) => each.a.row === row! - 1 && each.a.column === column! - 1)!;
    assert.deepEqual([pair.b.row, pair.b.column], [toRow! - 1, toColumn! - 1]);
    assert.deepEqual(problems, []);
  });

  test('a refused file is named with the words of the service, and the others stay', async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    await page.locator('input[type=file]').setInputFiles([
      { name: 'notes.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('not a picture') },
      { name: 'cut.jpg', mimeType: 'image/jpeg', buffer: (await readFile(photo('coffee.jpg'))).subarray(0, 6000) },
      { name: 'coffee.jpg', mimeType: 'image/jpeg', buffer: await readFile(photo('coffee.jpg')) },
    ]);
    await settled(page, /11 x 16 cells/);
    const said = async (bytes: Buffer) =>
      client.embed(bytes).then(
        () => '',
        (error: Error) => error.message,
      );
    for (const [name, bytes] of [
      ['notes.jpg', Buffer.from('not a picture')],
      ['cut.jpg', (await readFile(photo('coffee.jpg'))).subarray(0, 6000)],
    ] as const) {
      const alert = page.getByRole('alert').filter({ hasText: `${name} was refused.` });
      assert.ok((await alert.textContent())!.includes(await said(bytes)), (await alert.textContent())!);
    }
    await assertAccessible(page, 'refused files');
    await page.getByRole('button', { name: 'Close the message about cut.jpg' }).click();
    assert.equal(await page.getByRole('alert').count(), 1);
    assert.deepEqual(problems, []);
  });

  test('dropped and pasted files are read', long, async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    const bytes = (await readFile(photo('cat.jpg'))).toString('base64');
    for (const [event, name] of [
      ['drop', 'dropped.jpg'],
      ['paste', 'pasted.jpg'],
    ] as const) {
      await page.evaluate(
        `(() => {
          const bytes = Uint8Array.from(atob('${bytes}'), (c) => c.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], '${name}', { type: 'image/jpeg' }));
          const event = '${event}' === 'drop'
            ? new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent('paste', { clipboardData: data, bubbles: true });
          document.body.dispatchEvent(event);
        })()`,
      );
      await page.getByRole('button', { name: `× Remove ${name}` }).waitFor();
    }
    assert.deepEqual(problems, []);
  });

  test('everything can be reached and used by keyboard', async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    const focused = () =>
      page.evaluate<string>(
        "document.activeElement.textContent.trim() || document.activeElement.getAttribute('aria-label')",
      );
    const tabTo = async (name: string) => {
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press('Tab');
        if ((await focused())?.includes(name)) return;
      }
      assert.fail(`the Tab key does not reach ${name}`);
    };
    await tabTo('Two views of the coffee');
    await page.keyboard.press('Enter');
    await settled(page, /basis of the first/);
    await page.keyboard.press('Tab');
    await tabTo('Components');
    for (const view of ['Similarity', 'Norms', 'Nearest', 'Matches']) {
      await page.keyboard.press('ArrowRight');
      assert.equal(await focused(), view);
      assert.equal(await page.getByRole('tab', { name: view }).getAttribute('aria-selected'), 'true');
    }
    await settled(page, /^20 pairs\./);
    await tabTo('Cells of the first picture');
    await page.keyboard.press('ArrowDown');
    await page.getByText(/of the first: best match is row/).waitFor();
    await tabTo('Copy as gRPC');
    await page.keyboard.press('Enter');
    await page.getByText('vicregl.v1.VicreglService/Match').waitFor();
    // Alt+Left is the browser's.
    for (const place of ['[role=tablist]', '[role=application]']) {
      const taken = await page.evaluate(
        `(() => {
          const event = new KeyboardEvent('keydown', { key: 'ArrowLeft', altKey: true, bubbles: true, cancelable: true });
          return !document.querySelector('${place}').dispatchEvent(event);
        })()`,
      );
      assert.equal(taken, false, place);
    }
    assert.equal(await page.getByRole('tab', { name: 'Matches' }).getAttribute('aria-selected'), 'true');
    assert.deepEqual(problems, []);
  });

  for (const [width, scheme] of [
    [1200, 'light'],
    [360, 'dark'],
  ] as const) {
    test(
      `no view breaks a rule of axe-core or the window's width, ${width} px wide in ${scheme} colours`,
      width === 1200 ? {} : long,
      async (t) => {
        const { page, problems, close } = await visit({ viewport: { width, height: 800 }, colorScheme: scheme });
        t.after(close);
        await page.locator('.model').waitFor();
        const check = async (state: string) => {
          await assertAccessible(page, state);
          await assertFits(page, state);
        };
        await check('empty');
        await upload(page, 'coffee.jpg', 'coffee-tilted.jpg');
        for (const [view, text] of [
          ['Components', /basis of the first/],
          ['Similarity', /most similar/],
          ['Norms', /mean norm/],
          ['Nearest', /cosine similarity of their global/],
          ['Matches', /^20 pairs\./],
        ] as const) {
          await tab(page, view);
          await settled(page, text);
          await check(view);
        }
        await page.getByLabel('Homography').check();
        await page.getByText(/Homography: |No homography/).waitFor();
        await page.getByLabel('Two crops of the first, by features').check();
        await page.getByText('Copy as gRPC').click();
        await settled(page, /pairs\. Click/);
        await check('crops and code');
        await tab(page, 'Live');
        await page.getByText('Latency by phase').waitFor();
        await check('Live');
        assert.deepEqual(problems, []);
      },
    );
  }

  test('the live view shows what the metrics count', long, async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    await tab(page, 'Live');
    await page.getByText('1 idle').waitFor();
    const image = await readFile(photo('cat.jpg'));
    await Promise.all(Array.from({ length: 5 }, () => client.embed(image)));
    const inference = page.getByRole('row', { name: /^inference/ });
    await inference.getByText('5', { exact: true }).waitFor();
    const [count, mean, median, high] = (await inference.getByRole('cell').allTextContents()).map(Number);
    assert.equal(count, 5);
    assert.ok(mean! > 0 && median! > 0 && high! >= median!, `${mean} ${median} ${high}`);
    assert.deepEqual(problems, []);
  });

  test('the live view begins anew after a restart of the service', async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    let count = 1000;
    await page.route('**/metrics', (route) => {
      count += 10;
      const phase = 'vicregl_phase_duration_seconds';
      const body = `vicregl_batch_images_sum ${count}\n${phase}_sum{phase="decode"} ${count}\n${phase}_count{phase="decode"} ${count}\n`;
      return route.fulfill({ contentType: 'text/plain', body });
    });
    await tab(page, 'Live');
    const decode = page
      .getByRole('row', { name: /^decode/ })
      .getByRole('cell')
      .first();
    const counted = async () => Number(await decode.textContent());
    await until(async () => (await decode.count()) > 0 && (await counted()) >= 20);
    count = 0;
    await until(async () => (await counted()) < 20);
    for (const last = count + 20; count < last; ) {
      assert.ok((await counted()) >= 0);
      assert.doesNotMatch((await page.locator('dl.figures').textContent())!, /-\d/);
      await page.waitForResponse(/metrics$/);
    }
    assert.deepEqual(problems, []);
  });

  /** A service of its own, with a model that the test can reload. */
  async function ownService(auth?: Parameters<typeof createServer>[0]['auth']): Promise<RunningServer> {
    return createServer({
      models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} } }) }],
      logger: pino({ level: 'silent' }),
      ...{ address: '127.0.0.1:0', metricsAddress: 'off', httpAddress: '127.0.0.1:0' },
      ...(auth && { auth }),
    });
  }

  test('a service with tokens is asked with the one that the user gives, also for its metrics', long, async (t) => {
    const token = createToken();
    const entry = { name: 'page', sha256: hashToken(token).toString('hex'), admin: false };
    const closed = await ownService({ store: createTokenStore([entry]), openHealth: true });
    t.after(() => closed.close());
    const address = `http://${closed.httpAddress}/`;
    assert.equal((await fetch(`${address}metrics`)).status, 401);
    const { page, problems, close } = await openWatched(browser, address);
    t.after(close);
    await page.getByText('The service asks for a token.').waitFor();
    await assertAccessible(page, 'a token is wanted');
    await page.getByLabel('Token').fill('vrg_wrong');
    await page.getByRole('button', { name: 'Use it' }).click();
    await page
      .getByText(/unknown|invalid|not known/i)
      .first()
      .waitFor();
    await page.getByLabel('Token').fill(token);
    await page.keyboard.press('Enter');
    await page.locator('.model').waitFor();
    await tab(page, 'Live');
    await page.getByText('Latency by phase').waitFor();
    await page.getByText('The service asks for a token.').waitFor({ state: 'detached' });
    assert.deepEqual(problems, []);
  });

  test('a token that stops to be valid while the page is open is asked for, and the photographs stay', async (t) => {
    const entryOf = (token: string) => ({ name: 'page', sha256: hashToken(token).toString('hex'), admin: false });
    const [before, after] = [createToken(), createToken()];
    const store = createTokenStore([entryOf(before)]);
    const own = await ownService({ store, openHealth: true });
    t.after(() => own.close());
    const { page, problems, close } = await openWatched(browser, `http://${own.httpAddress}/`);
    t.after(close);
    const give = async (token: string) => {
      await page.getByLabel('Token').fill(token);
      await page.keyboard.press('Enter');
      await page.getByText('The service asks for a token.').waitFor({ state: 'detached' });
    };
    await give(before);
    await upload(page, 'coffee.jpg');
    await settled(page, /\d+ x \d+ cells/);
    store.replace([entryOf(after)]);
    await page.getByLabel('Detail').selectOption('coarse');
    await page.getByText('The components cannot be shown.').waitFor();
    await page.getByText('The service asks for a token.').waitFor();
    await assertAccessible(page, 'a new token is wanted');
    await give(after);
    await settled(page, /\d+ x \d+ cells/);
    assert.equal(await page.getByRole('alert').count(), 0);
    assert.deepEqual(problems, []);
  });

  test('what failed is asked again when the user says so', async (t) => {
    const { page, problems, close } = await visit();
    t.after(close);
    let refusals = 1;
    await page.route('**/v1/features', (route) => {
      if (refusals-- <= 0) return route.continue();
      return route.fulfill({ status: 429, json: { code: 8, message: 'the queue is full' } });
    });
    await upload(page, 'coffee.jpg');
    const alert = page.getByRole('alert').filter({ hasText: 'The components cannot be shown. the queue is full' });
    await alert.waitFor();
    await assertAccessible(page, 'a view failed');
    await alert.getByRole('button', { name: 'Try again' }).click();
    await settled(page, /11 x 16 cells/);
    assert.equal(await page.getByRole('alert').count(), 0);
    assert.deepEqual(problems, []);
  });

  test('after a reload the page shows and compares what the new model computes', async (t) => {
    const own = await ownService();
    t.after(() => own.close());
    const { page, problems, close } = await openWatched(browser, `http://${own.httpAddress}/`);
    t.after(close);
    await upload(page, 'coffee.jpg', 'coffee-tilted.jpg');
    await page.getByLabel('Space').selectOption('LOCAL_SPACE_LOCAL_PROJECTOR');
    await settled(page, /basis of the first/);
    await tab(page, 'Nearest');
    await page.locator('.ranking li').first().waitFor();
    // It has more channels, and no local projector.
    const dims = { representation: 24 };
    const manifest = { ...tinyManifest, version: '2', dims, outputs: modelOutputs(dims, 8), files: {} };
    await own.models.reload('tiny@1', async () => createFakeEngine({ manifest }));
    // One photograph is refused for a while when it is asked for again; the others are ranked meanwhile.
    const tilted = (await readFile(photo('coffee-tilted.jpg'))).toString('base64');
    let busy = true;
    await page.route('**/v1/embed', (route) => {
      if (!busy || !route.request().postData()?.includes(tilted)) return route.continue();
      return route.fulfill({ status: 503, json: { code: 14, message: 'busy' } });
    });
    await upload(page, 'cat.jpg');
    const ranked = async () => {
      const names = await page.locator('.ranking .name').allTextContents();
      const figures = await page.locator('.ranking .number').allTextContents();
      return names.map((name, i) => [name, figures[i]]);
    };
    const alert = page.getByRole('alert').filter({ hasText: 'coffee-tilted.jpg cannot be compared. busy' });
    await alert.waitFor();
    const direct = createClient({ address: own.address });
    t.after(() => direct.close());
    const [query, ...others] = await Promise.all(
      ['coffee.jpg', 'cat.jpg', 'coffee-tilted.jpg'].map(async (name) => ({
        name,
        ...(await direct.embed(await readFile(photo(name)), { l2Normalize: true })),
      })),
    );
    assert.equal(query!.vector.length, 24);
    const expected = others.map(({ name, vector }) => {
      const cosine = query!.vector.reduce((sum, value, c) => sum + value * vector[c]!, 0);
      return [name, cosine.toFixed(3)];
    });
    await until(async () => (await page.locator('.ranking .name').allTextContents()).includes('cat.jpg'));
    assert.deepEqual(await ranked(), expected.slice(0, 1));
    await page.locator('.model').getByText('version 2').waitFor();
    busy = false;
    await alert.getByRole('button', { name: 'Try again' }).click();
    await page.locator('.ranking li').nth(1).waitFor();
    assert.deepEqual((await ranked()).sort(), expected.sort());
    await tab(page, 'Components');
    await settled(page, /basis of the first/);
    assert.equal(await page.getByLabel('Space').inputValue(), 'LOCAL_SPACE_BACKBONE');
    assert.equal(await page.getByRole('alert').count(), 0);
    assert.deepEqual(problems, []);
  });

  describe('the code of a view', long, () => {
    let folder: string;
    /** Two calls, of which the second uses the basis of the first; and a match of a stage's maps. */
    const programs: Record<string, Record<string, string>> = {};
    before(async () => {
      folder = join(scratch, 'code');
      await mkdir(join(folder, 'node_modules'), { recursive: true });
      await symlink(root, join(folder, 'node_modules', 'vicregl'));
      await cp(join(root, 'src/web/public/photos'), folder, { recursive: true });
      const { page, close } = await visit();
      try {
        await upload(page, 'coffee.jpg', 'coffee-tilted.jpg');
        await settled(page, /basis of the first/);
        const read = async (name: string) => {
          programs[name] = {};
          await page.getByText('Copy as gRPC').click();
          for (const language of ['gRPC (grpcurl)', 'TypeScript', 'Python', 'curl']) {
            await page.getByRole('radio', { name: language, exact: true }).check();
            const text = (await page.locator('.code pre').textContent())!;
            programs[name]![language] = text.replaceAll('127.0.0.1:50051', server.address);
          }
        };
        await read('components');
        await page.getByLabel('Stage').selectOption('2');
        await tab(page, 'Matches');
        await settled(page, /^20 pairs\./);
        await read('stages');
      } finally {
        await close();
      }
    });

    test('is the same request for curl and grpcurl, for every call', () => {
      for (const program of Object.values(programs)) {
        const requests = (text: string) => [...text.matchAll(/^\{$[\s\S]*?^\}$/gm)].map(([request]) => request);
        assert.ok(requests(program['curl']!).length > 1);
        assert.deepEqual(requests(program['gRPC (grpcurl)']!), requests(program['curl']!));
      }
    });

    const withoutJq = spawnSync('jq', ['--version']).error ? 'jq is not here' : false;
    if (process.env['CI_CHROMIUM'] === 'required') assert.equal(withoutJq, false);
    test('runs with curl', { skip: withoutJq }, async () => {
      const answerOf = async (name: string) => {
        const script = programs[name]!['curl']!;
        const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script], { cwd: folder, maxBuffer: 2 ** 26 });
        return JSON.parse(stdout);
      };
      assert.deepEqual((await answerOf('components')).features.shape, [11, 16, 3]);
      assert.equal((await answerOf('stages')).pairs.length, 20);
    });

    for (const [name, printed] of [
      ['components', /11.*16.*3/],
      ['stages', /^20\b/],
    ] as const) {
      test(`runs in TypeScript: ${name}`, async () => {
        const code = ts.transpileModule(programs[name]!['TypeScript']!, {
          compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
        });
        const file = join(folder, `${name}.mjs`);
        await writeFile(file, code.outputText);
        assert.match((await run(process.execPath, [file], { cwd: folder })).stdout, printed);
      });
    }

    const missing = ['/usr/bin/protoc', '/usr/bin/grpc_python_plugin', PYTHON].find((path) => !existsSync(path));
    if (process.env['CI_PYTHON'] === 'required') assert.equal(missing, undefined);
    test('runs in Python', { skip: missing && `${missing} is not here` }, async () => {
      await mkdir(join(folder, 'stubs'), { recursive: true });
      const protos = ['vicregl/v1/vicregl.proto', 'google/rpc/status.proto', 'google/rpc/error_details.proto'];
      const outputs = [
        '--python_out=stubs',
        '--grpc_out=stubs',
        '--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin',
      ];
      await run('protoc', ['-I', join(root, 'proto'), ...outputs, ...protos], { cwd: folder });
      const env = { ...process.env, PYTHONPATH: 'stubs' };
      for (const [name, printed] of [
        ['components', /\[11, 16, 3\]/],
        ['stages', /^20 /],
      ] as const) {
        const { stdout } = await run(PYTHON, ['-c', programs[name]!['Python']!], { cwd: folder, env });
        assert.match(stdout, printed);
      }
    });
  });
});
