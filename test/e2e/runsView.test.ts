import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import type { RunsAnswer } from '../../src/runsView/contract.js';
import { type RunsServer, serveRuns } from '../../src/runsView/runsServer.js';
import { launchChromium, skipWithoutChromium } from '../support/chromium.js';
import { bin } from '../support/servedProcess.js';
import { tinyConfig, tinyKeys, trainTiny, writePhotographs } from '../support/tinyRun.js';
import { until } from '../support/until.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';
import { assertAccessible, assertFits, openWatched } from '../support/watchedPage.js';

/** `vicregl runs view`: the server of the page of runs, and the page in a real browser. */

let scratch: string;
let server: RunsServer;
const run = (name: string) => join(scratch, name);
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-view-'));
  const photographs = run('photographs');
  await writePhotographs(
    photographs,
    Array.from({ length: 8 }, (_, i) => `${i}.jpg`),
  );
  await trainTiny(run('plain'), tinyConfig(photographs));
  const loss = { ...tinyKeys('').loss, alpha: 1 };
  await trainTiny(run('global-only'), tinyConfig(photographs, { loss, epochs: 3 }));
  server = await serveRuns([run('plain'), run('global-only')], 0);
});
after(async () => {
  await server?.close();
  await rm(scratch, { recursive: true });
});

const get = async (path: string) => {
  const response = await fetch(new URL(path, server.url));
  return { status: response.status, type: response.headers.get('content-type'), body: await response.text() };
};

describe('the server of the runs', () => {
  test('describes the runs, and answers with their curves only when they have changed', async () => {
    const { runs, differences } = JSON.parse((await get('api/runs')).body);
    assert.deepEqual(
      runs.map((each: { name: string; steps: number; training: boolean }) => [each.name, each.steps, each.training]),
      [
        ['plain', 4, false],
        ['global-only', 6, false],
      ],
    );
    assert.deepEqual(
      differences.map(({ key }: { key: string }) => key),
      ['loss.alpha', 'epochs'],
    );
    // 1 / sqrt of 24 and of 16 channels.
    assert.deepEqual(
      runs[0].monitors.map(({ term, even }: { term: string; even: number }) => [term, even.toFixed(4)]),
      [
        ['stde', '0.2041'],
        ['stdm', '0.2500'],
      ],
    );
    const curves = JSON.parse((await get('api/runs/0/curves')).body);
    const log = (await readFile(join(run('plain'), 'log.jsonl'), 'utf8')).trim().split('\n');
    assert.deepEqual(curves.steps, [1, 2, 3, 4]);
    assert.deepEqual(
      curves.terms.l,
      log.map((line) => Number(JSON.parse(line).l.toPrecision(5))),
    );
    assert.equal((await get(`api/runs/0/curves?seen=${curves.revision}`)).status, 304);
  });

  test('reads the configuration again when another run is trained in the folder', async (t) => {
    await trainTiny(run('again'), tinyConfig(run('photographs'), { epochs: 1 }));
    const again = await serveRuns([run('again')], 0);
    t.after(() => again.close());
    const state = async () => {
      const { runs } = (await (await fetch(new URL('api/runs', again.url))).json()) as RunsAnswer;
      return [runs[0]!.epochs, runs[0]!.steps, runs[0]!.monitors.map(({ term }) => term)];
    };
    assert.deepEqual(await state(), [1, 2, ['stde', 'stdm']]);
    await rm(run('again'), { recursive: true });
    assert.deepEqual(await state(), [1, 0, ['stde', 'stdm']]);
    const loss = { ...tinyKeys('').loss, alpha: 1 };
    await trainTiny(run('again'), tinyConfig(run('photographs'), { loss, epochs: 2 }));
    assert.deepEqual(await state(), [2, 4, ['stde']]);
  });

  test('shows the other runs where one cannot be read, with the reason', async (t) => {
    for (const name of ['whole', 'damaged']) await trainTiny(run(name), tinyConfig(run('photographs'), { epochs: 1 }));
    const log = join(run('damaged'), 'log.jsonl');
    const kept = await readFile(log);
    await rm(log);
    await mkdir(log);
    const both = await serveRuns([run('whole'), run('damaged')], 0);
    t.after(() => both.close());
    const answer = async (path: string) => (await fetch(new URL(path, both.url))).json() as Promise<unknown>;
    const states = async () =>
      ((await answer('api/runs')) as RunsAnswer).runs.map(({ name, steps, problem }) => [name, steps, problem]);
    const problem = `${log} cannot be read: it is a folder, not a file`;
    assert.deepEqual(await states(), [
      ['whole', 2, undefined],
      ['damaged', 0, problem],
    ]);
    // The page reads the curves of every run.
    assert.deepEqual(await answer('api/runs/1/curves'), { revision: 0, steps: [], terms: {} });
    await rm(log, { recursive: true });
    await writeFile(log, kept);
    assert.deepEqual(await states(), [
      ['whole', 2, undefined],
      ['damaged', 2, undefined],
    ]);
  });

  test('draws the crops, and says why where the photographs are gone', async () => {
    const { status, type } = await get('api/runs/0/crops.png');
    assert.deepEqual([status, type], [200, 'image/png']);
    const config = await readFile(join(run('plain'), 'config.yaml'), 'utf8');
    await trainTiny(run('moved'), tinyConfig(run('photographs'), { epochs: 1 }));
    await writeFile(join(run('moved'), 'config.yaml'), config.replace(run('photographs'), run('elsewhere')));
    const moved = await serveRuns([run('moved')], 0);
    try {
      const answer = await fetch(new URL('api/runs/0/crops.png', moved.url));
      assert.equal(answer.status, 422);
      assert.match(
        ((await answer.json()) as { message: string }).message,
        /data\.source: .*elsewhere cannot be opened/,
      );
    } finally {
      await moved.close();
    }
  });

  test('serves its page under a strict policy, and nothing else', async () => {
    const page = await fetch(server.url);
    assert.match(
      page.headers.get('content-security-policy')!,
      /^default-src 'none'; script-src 'self'; style-src 'self'/,
    );
    assert.match(await page.text(), /training runs/);
    for (const path of ['index.html', 'api/runs/2/curves', 'api/runs/x/curves', '../config.yaml', '%2e%2e/config.yaml'])
      assert.ok([403, 404].includes((await get(path)).status), path);
  });

  test('answers nobody who calls it by the name of another site', async () => {
    const { port } = new URL(server.url);
    for (const [host, status] of [
      ['evil.example', 403],
      [`localhost:${port}`, 200],
    ] as const) {
      const call = request({ port, path: '/api/runs', headers: { host } }).end();
      const [response] = await once(call, 'response');
      response.resume();
      assert.equal(response.statusCode, status, host);
    }
  });
});

test('the command serves until SIGINT, and names a folder without a run and a port that is taken', async () => {
  const child = spawn(process.execPath, [bin, 'runs', 'view', run('plain'), '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout })) {
    const [, url] = /^runs: (http:\S+) \(Ctrl-C stops\)$/.exec(line)!;
    assert.equal((await fetch(url!)).status, 200);
    child.kill('SIGINT');
    break;
  }
  assert.deepEqual(await exited, [0, null]);
  const none = await vicregl('runs', 'view', scratch, '--port', '0');
  assert.deepEqual([none.code, /is not a run folder: it holds no config\.yaml/.test(none.stderr)], [1, true]);
  const taken = await vicregl('runs', 'view', run('plain'), '--port', new URL(server.url).port);
  assert.deepEqual(
    [taken.code, /--port: cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/.test(taken.stderr)],
    [1, true],
  );
});

describe('the page of the runs', { skip: skipWithoutChromium() }, () => {
  let browser: Browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  test('the steps that the user has zoomed to stay in view while the log grows', async (t) => {
    const log = join(run('zoomed'), 'log.jsonl');
    await trainTiny(run('zoomed'), tinyConfig(run('photographs'), { epochs: 1 }));
    const first = JSON.parse((await readFile(log, 'utf8')).split('\n')[0]!);
    const append = (step: number) => appendFile(log, `${JSON.stringify({ ...first, step, l: step })}\n`);
    for (let step = 3; step <= 40; step++) await append(step);
    const zoomed = await serveRuns([run('zoomed')], 0);
    t.after(() => zoomed.close());
    const { page, problems, close } = await openWatched(browser, zoomed.url);
    t.after(close);
    const chart = page.getByRole('figure').first();
    await chart.getByText('step 40').waitFor();
    const over = chart.locator('.u-over');
    await over.scrollIntoViewIfNeeded();
    const { x, y, width } = (await over.boundingBox())!;
    /** The step at the left edge of the chart. */
    const leftmost = async () => {
      await page.mouse.move(x + 2, y + 60);
      return Number(/step (\d+)/.exec((await chart.textContent())!)![1]);
    };
    assert.equal(await leftmost(), 1);
    await page.mouse.move(x + width * 0.5, y + 50);
    await page.mouse.down();
    await page.mouse.move(x + width * 0.75, y + 50, { steps: 5 });
    await page.mouse.up();
    await until(async () => (await leftmost()) > 15);
    const kept = await leftmost();
    await append(41);
    await page.getByRole('article').getByText('41', { exact: true }).waitFor();
    // The next reading finds nothing new.
    await page.waitForResponse(/api\/runs$/);
    await page.waitForResponse(/api\/runs$/);
    assert.equal(await leftmost(), kept);
    await over.dblclick();
    await until(async () => (await leftmost()) === 1);
    assert.deepEqual(problems, []);
  });

  test('shows a run that cannot be read, with the reason, beside the others', async (t) => {
    await trainTiny(run('unread'), tinyConfig(run('photographs'), { epochs: 1 }));
    await rm(join(run('unread'), 'log.jsonl'));
    await mkdir(join(run('unread'), 'log.jsonl'));
    const both = await serveRuns([run('plain'), run('unread')], 0);
    t.after(() => both.close());
    const { page, problems, close } = await openWatched(browser, both.url);
    t.after(close);
    const alert = page.getByRole('article').filter({ hasText: 'unread' }).getByRole('alert');
    await alert.getByText('log.jsonl cannot be read: it is a folder, not a file').waitFor();
    await page.getByRole('figure').first().getByText('plain').first().waitFor();
    assert.deepEqual(problems, []);
  });

  for (const [width, colorScheme] of [
    [1200, 'dark'],
    [360, 'light'],
  ] as const) {
    test(`draws runs over each other, follows their logs, and is accessible, ${width} px wide`, async (t) => {
      const viewport = { width, height: 800 };
      const { page, problems, close } = await openWatched(browser, server.url, { viewport, colorScheme });
      t.after(close);
      const check = async (state: string) => {
        await assertAccessible(page, state);
        await assertFits(page, state);
      };
      const chart = page.getByRole('figure').filter({ hasText: 'total, with the online' });
      await chart.waitFor();
      const plain = await page.getByRole('article').filter({ hasText: 'plain' }).textContent();
      const step = Number(/Step(\d+)Epoch/.exec(plain!)![1]);
      assert.deepEqual(await chart.locator('.lines li').count(), 3);
      await check('curves');
      const log = join(run('plain'), 'log.jsonl');
      const lines = (await readFile(log, 'utf8')).trim().split('\n');
      const next = { ...JSON.parse(lines.at(-1)!), step: step + 1, l: 123.4 };
      await appendFile(log, `${JSON.stringify(next)}\n`);
      await chart.getByText('123.4').waitFor();
      await page
        .getByText(String(step + 1), { exact: true })
        .first()
        .waitFor();
      await page.getByRole('tab', { name: 'Collapse monitors' }).click();
      await page.getByText('evenly spread').first().waitFor();
      await check('monitors');
      await page.getByRole('tab', { name: 'Crops' }).click();
      const pictures = page.getByRole('img', { name: /^Crops of/ });
      await pictures.first().waitFor();
      await page.locator('.loading').first().waitFor({ state: 'detached' });
      assert.equal(await pictures.count(), 2);
      await check('crops');
      await page.getByRole('tab', { name: 'Configuration' }).click();
      await page.getByRole('row', { name: /loss\.alpha/ }).waitFor();
      await check('configuration');
      assert.deepEqual(problems, []);
    });
  }
});
