import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { chromium, type Page } from 'playwright-core';
import sharp from 'sharp';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { createClient } from '../../src/client/index.js';
import { serveRuns } from '../../src/runsView/runsServer.js';

/**
 * Takes the pictures of the pages in docs/images, of a service with the bundled model that runs already:
 *   bin/vicregl.js serve --http-address 127.0.0.1:8080 &
 *   node dist/scripts/docs/pageScreenshots.js http://127.0.0.1:8080/ 127.0.0.1:50051
 * It needs Chromium (Debian: apt-get install chromium).
 */

const [url, grpc] = process.argv.slice(2);
if (url === undefined || grpc === undefined) throw new Error('usage: pageScreenshots.js URL HOST:PORT');
const FOLDER = resolve('docs/images');
const MAX_BYTES = 300_000;
const WIDTH = 1120;

async function take(page: Page, name: string): Promise<void> {
  // The pointer and the focus have no part in the picture.
  await page.mouse.move(0, 0);
  const file = join(FOLDER, `${name}.png`);
  const shot = await page.screenshot({ fullPage: true });
  // 256 colours: a third of the bytes.
  const { size } = await sharp(shot).png({ palette: true, effort: 10 }).toFile(file);
  if (size > MAX_BYTES) throw new Error(`${file} has ${size} bytes, over ${MAX_BYTES}`);
  console.log(`${file}: ${size} bytes`);
}

const settled = async (page: Page, text: RegExp) => {
  await page.getByText(text).first().waitFor();
  await page.locator('.loading').first().waitFor({ state: 'detached' });
};
const tab = (page: Page, name: string) => page.getByRole('tab', { name }).click();

await mkdir(FOLDER, { recursive: true });
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
const scratch = await mkdtemp(join(tmpdir(), 'vicregl-screenshots-'));
try {
  const page = await browser.newPage({ viewport: { width: WIDTH, height: 640 } });
  await page.goto(url);
  await page.locator('.model').waitFor();
  await take(page, 'glass-empty');
  await page.getByRole('button', { name: 'Two views of the coffee' }).click();
  await settled(page, /basis of the first/);
  await page.getByLabel('Detail').selectOption('fine');
  await settled(page, /43 x 64 cells/);
  await take(page, 'glass-components');
  await tab(page, 'Similarity');
  await settled(page, /most similar/);
  const cells = page.getByRole('application', { name: /coffee\.jpg/ });
  const { width, height } = (await cells.boundingBox())!;
  await cells.hover({ position: { x: 0.68 * width, y: 0.64 * height } });
  await settled(page, /^Cell at row 28, column 44 of coffee\.jpg/);
  await take(page, 'glass-similarity');
  await tab(page, 'Matches');
  await page.getByLabel('Detail').selectOption('medium');
  await page.getByLabel('Mutual nearest only').check();
  await page.getByLabel('Gamma (pairs)').fill('40');
  await page.getByLabel('Homography').check();
  await settled(page, /pairs agree/);
  await page.getByLabel('First picture over the second').fill('0.35');
  await take(page, 'glass-matches');
  await page.getByLabel('Homography').uncheck();
  await page.getByLabel('Two crops of the first, by location').check();
  await page.locator('fieldset.crop-2').getByLabel('flip').check();
  await settled(page, /pairs\. Click/);
  await take(page, 'glass-crops');
  await page
    .locator('input[type=file]')
    .setInputFiles({ name: 'notes.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('meeting at ten') });
  await page.getByRole('alert').waitFor();
  await tab(page, 'Components');
  await settled(page, /basis of the first/);
  await take(page, 'glass-refused');
  await page.getByRole('button', { name: /^Close the message/ }).click();
  await tab(page, 'Live');
  await page.getByText('Latency by phase').waitFor();
  const client = createClient({ address: grpc });
  const image = await readFile('test/fixtures/photos/coffee.jpg');
  const until = Date.now() + 12_000;
  const caller = async () => {
    while (Date.now() < until) await client.embed(image);
  };
  await Promise.all([caller(), caller(), caller(), caller()]);
  await client.close();
  await take(page, 'glass-live');

  const phone = await browser.newPage({ viewport: { width: 360, height: 640 }, colorScheme: 'dark' });
  await phone.goto(url);
  await phone.getByRole('button', { name: 'Two views of the coffee' }).click();
  await settled(phone, /basis of the first/);
  await tab(phone, 'Matches');
  await settled(phone, /pairs\. Click/);
  await take(phone, 'glass-phone');

  // The bundled model's own run, and what its first half would have looked like beside it.
  process.chdir(scratch);
  const runs = ['runs/whole', 'runs/half'];
  for (const run of runs) {
    await mkdir(run, { recursive: true });
    for (const file of ['config.yaml', 'log.jsonl']) await cp(join(bundledModelFolder, file), join(run, file));
  }
  const lines = (await readFile(join(runs[1]!, 'log.jsonl'), 'utf8')).split('\n');
  await writeFile(join(runs[1]!, 'log.jsonl'), `${lines.slice(0, 1250).join('\n')}\n`);
  const server = await serveRuns(runs, 0);
  try {
    const view = await browser.newPage({ viewport: { width: WIDTH, height: 640 } });
    await view.goto(server.url);
    await view.locator('.chart').first().waitFor();
    await tab(view, 'Collapse monitors');
    await view.getByText('evenly spread').first().waitFor();
    await take(view, 'runs-view');
  } finally {
    await server.close();
  }
} finally {
  await browser.close();
  await rm(scratch, { recursive: true });
}
