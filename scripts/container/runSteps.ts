/**
 * Runs the steps of the Dockerfile without a container engine: node dist/scripts/container/runSteps.js
 *
 * - The RUN and COPY steps of the build stages run in a scratch folder, which contains the folders of the image. The result
 *   is started, and its health is checked.
 * - The last stage (CPU) runs in a Debian root directory, if the user is root and mmdebstrap is installed.
 * - Other steps that install system packages are simulated, as far as this system's package lists have the packages.
 * - Steps that cannot run here are reported as not run.
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildAndRunImage, missingForImage } from './debianImage.js';
import { readStages, type Stage } from './stages.js';

/** Folders of the image that are created in the scratch folder. */
const IMAGE_FOLDERS = ['/app', '/image'];

const scratch = await mkdtemp(join(tmpdir(), 'vicregl-image-'));
const inScratch = (path: string): string => join(scratch, path);

/** A command with the paths of the image's folders replaced by those in the scratch folder. */
function relocated(command: string): string {
  return IMAGE_FOLDERS.reduce(
    (text, folder) => text.replaceAll(new RegExp(`(?<![\\w.])${folder}(?=[/\\s;]|$)`, 'g'), inScratch(folder)),
    command,
  );
}

function shell(command: string, cwd: string): void {
  const { status, stdout } = spawnSync('/bin/sh', ['-c', command], {
    cwd,
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${command}: exit code ${status}\n${stdout.slice(-4000)}`);
}

/** The files of the build context: those that git does not ignore and .dockerignore does not exclude. */
function contextFiles(): string[] {
  const list = (...flags: string[]) =>
    execFileSync('git', ['ls-files', '-z', ...flags])
      .toString()
      .split('\0')
      .filter(Boolean);
  const ignored = new Set(list('-ci', '--exclude-from=.dockerignore'));
  return list('-c', '-o', '--exclude-standard').filter((file) => !ignored.has(file));
}

async function copyFromContext(sources: readonly string[], workdir: string): Promise<number> {
  const all = contextFiles();
  const wanted = sources.includes('.') ? all : sources;
  for (const file of wanted) {
    if (!all.includes(file)) throw new Error(`COPY ${file}: the file is not in the build context`);
    const target = join(inScratch(workdir), file);
    await mkdir(dirname(target), { recursive: true });
    await cp(file, target);
  }
  return wanted.length;
}

/** Simulates the apt-get of a RUN step, with the packages that this system's lists have. */
function simulateInstall(command: string): string {
  const packages = (/apt-get install (.*?)(?: &&|$)/s.exec(command)?.[1] ?? '')
    .split(/\s+/)
    .filter((word) => /^[a-z0-9]/.test(word));
  const known = packages.filter((name) => {
    try {
      return execFileSync('apt-cache', ['show', name], { stdio: ['ignore', 'pipe', 'ignore'] }).length > 0;
    } catch {
      return false;
    }
  });
  if (known.length > 0) shell(`apt-get install --simulate --no-install-recommends ${known.join(' ')}`, scratch);
  const unknown = packages.filter((name) => !known.includes(name));
  return `simulated: ${known.join(' ') || 'nothing'}; not in this system's lists: ${unknown.join(' ') || 'none'}`;
}

async function runStage({ name, steps }: Stage): Promise<void> {
  let workdir = '/app';
  for (const { keyword, text, words } of steps) {
    const report = (what: string): void =>
      console.log(`${name}: ${keyword} ${text.slice(0, 70).replaceAll('\n', ' ')}: ${what}`);
    const start = performance.now();
    const seconds = (): string => `${((performance.now() - start) / 1000).toFixed(1)} s`;
    if (keyword === 'WORKDIR') {
      workdir = text;
      await mkdir(inScratch(workdir), { recursive: true });
    } else if (keyword === 'COPY' && !text.startsWith('--from')) {
      report(`${await copyFromContext(words.slice(0, -1), workdir)} files`);
    } else if (keyword === 'RUN' && text.includes('apt-get')) {
      report(simulateInstall(text));
    } else if (keyword === 'RUN' && text.includes('vicregl.js cuda ')) {
      report('not run: it downloads the provider from nuget.org and its libraries from NVIDIA');
    } else if (keyword === 'RUN') {
      shell(relocated(text), inScratch(workdir));
      report(`done in ${seconds()}`);
    }
  }
}

/** Starts the service from the built image folder, and checks its health with the command of the image. */
async function checkService(): Promise<void> {
  const image = inScratch('/image');
  const size = execFileSync('du', ['-sm', image]).toString().split('\t')[0];
  console.log(`/image: ${size} MiB`);
  const listeners = ['--address', '127.0.0.1:0', '--metrics-address', '127.0.0.1:0', '--admin-address', 'off'];
  const server = spawn(process.execPath, ['bin/vicregl.js', 'serve', ...listeners, '--device', 'cpu'], {
    cwd: image,
    env: { PATH: process.env['PATH'], NODE_ENV: 'production' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: server.stdout })) {
    const { msg, address } = JSON.parse(line) as { msg: string; address: string };
    if (msg !== 'serving') continue;
    server.stdout.resume();
    const status = execFileSync(process.execPath, ['bin/vicregl.js', 'health', '--address', address], { cwd: image });
    console.log(`the service runs from the image's folder; vicregl health printed ${status.toString().trim()}`);
    server.kill('SIGTERM');
    return;
  }
  throw new Error("the service does not start from the image's folder");
}

try {
  const stages = await readStages('Dockerfile');
  const last = stages.at(-1)!;
  const missing = missingForImage();
  for (const stage of stages) if (stage !== last || missing !== undefined) await runStage(stage);
  await checkService();
  if (missing === undefined) await buildAndRunImage(last, inScratch('/root'), inScratch('/image'));
  else console.log(`${last.name}: not run in a Debian root directory, which needs ${missing}`);
} finally {
  await rm(scratch, { recursive: true, force: true });
}
