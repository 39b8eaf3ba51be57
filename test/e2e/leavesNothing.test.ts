import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { long } from '../support/longTests.js';
import { type Place, startServedProcessWith } from '../support/servedProcess.js';
import { tinyKeys, writePhotographs } from '../support/tinyRun.js';
import { vicreglIn } from '../support/vicregl.js';

/**
 * No command writes outside the given folders. This includes files of its libraries (ONNX Runtime's telemetry has a log in the
 * temporary folder, and a device id and a database in the user's cache) and scratch files.
 */

const photo = resolve('test/fixtures/photos/astronaut.jpg');

let scratch: string;
let config: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-leaves-nothing-'));
  const photographs = join(scratch, 'photographs');
  await writePhotographs(
    photographs,
    Array.from({ length: 4 }, (_, i) => `${i}.jpg`),
  );
  config = join(scratch, 'tiny.yaml');
  await writeFile(
    config,
    stringify({ ...tinyKeys(photographs), epochs: 1, data: { source: photographs, workers: 1 } }),
  );
});
after(() => rm(scratch, { recursive: true }));

/**
 * The complete environment of a process, with the user's folders below `folder`. The variables of a CI are left out, because
 * they would disable the telemetry by themselves.
 */
const variables = (folder: string): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'],
  HOME: join(folder, 'home'),
  TMPDIR: join(folder, 'tmp'),
  XDG_CACHE_HOME: join(folder, 'cache'),
});

/** Runs ONNX Runtime in all ways: in the command's process, in the service's workers, in training and in export. */
async function useEverything(place: Place, out: string): Promise<void> {
  const succeed = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await vicreglIn(place, ...args);
    assert.equal(code, 0, `${args[0]}: ${stderr}`);
  };
  const local = ['--local', '--device', 'cpu', '--threads', '1'];
  // an image with text: libvips may look for fonts and cache what it finds
  await succeed('match', photo, photo, '--top', '4', '--out', join(out, 'pairs.png'), ...local);

  const { child, address } = await startServedProcessWith(place, '--threads', '1');
  const ended = once(child, 'exit');
  try {
    await succeed('embed', photo, '--address', address);
  } finally {
    child.kill('SIGTERM');
  }
  assert.deepEqual(await ended, [0, null]);

  const run = join(out, 'run');
  await succeed('train', '--config', config, '--out', run);
  await succeed('export', run, '--out', join(out, 'model'));
}

describe('a start and an inference, training and an export', long, () => {
  test('leave no files in the home, temporary and current folders', async () => {
    const watched = join(scratch, 'watched');
    const cwd = join(watched, 'current');
    for (const name of ['home', 'tmp', 'cache', 'current']) await mkdir(join(watched, name), { recursive: true });
    const out = join(scratch, 'out');
    await mkdir(out);
    await useEverything({ cwd, env: variables(watched) }, out);
    assert.deepEqual((await readdir(watched, { recursive: true })).sort(), ['cache', 'current', 'home', 'tmp']);
    assert.deepEqual((await readdir(out)).sort(), ['model', 'pairs.png', 'run']);
  });

  test('work if none of these folders is writable', async () => {
    // root can write everywhere except below a file
    const file = join(scratch, 'file');
    await writeFile(file, '');
    const out = join(scratch, 'out-without-home');
    await mkdir(out);
    await useEverything({ env: variables(file) }, out);
    assert.deepEqual((await readdir(out)).sort(), ['model', 'pairs.png', 'run']);
  });
});
