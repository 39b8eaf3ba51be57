/**
 * Builds the CPU image with podman and runs it: node dist/scripts/container/buildImage.js [--base registry|debian] [--keep FOLDER]
 *
 * - `--base registry` pulls the base image. `--base debian` makes one under its name, for machines that reach no registry: the
 *   Debian release of its name (mmdebstrap) with the Node.js and npm of this machine.
 * - The image runs as deploy/kubernetes restricts it: another user, read-only, no capabilities, limits of memory, processor and processes.
 *   Its health check, a call with a photograph, a reload by SIGHUP and its end by SIGTERM are checked.
 * - Images and containers are kept in FOLDER, or else in a temporary folder that is removed.
 *
 * Needs root on Linux, podman and runc (crun refuses cgroups of both versions on one machine), and mmdebstrap for `--base debian`.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readStages } from './stages.js';

/** Tag of the image that is built, and name of its container. */
const NAME = 'vicregl-check';
/** Time limit in milliseconds until the service is healthy. Equals the start period of HEALTHCHECK. */
const START_MS = 30_000;
/** Seconds between SIGTERM and SIGKILL: more than the service waits for running calls. */
const STOP_SECONDS = 40;
/** A photograph of the repository for the call. */
const PHOTOGRAPH = 'docs/features.jpg';

const { values } = parseArgs({
  options: { base: { type: 'string', default: 'registry' }, keep: { type: 'string' } },
});
if (values.base !== 'registry' && values.base !== 'debian')
  throw new Error(`--base ${values.base}: must be registry or debian`);

const folder = values.keep ?? (await mkdtemp(join(tmpdir(), 'vicregl-image-')));
const storage = [
  ...['--root', join(folder, 'storage'), '--runroot', join(folder, 'run'), '--tmpdir', join(folder, 'tmp')],
  ...['--storage-driver', 'overlay', '--cgroup-manager', 'cgroupfs', '--runtime', 'runc'],
];

/** What podman prints on stdout. Its messages go to stderr. */
function podman(...words: readonly string[]): string {
  return execFileSync('podman', [...storage, ...words], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim();
}

/**
 * Makes an equivalent of Node's image under its name: a Debian root directory with Node.js, npm and the user `node` (1000). Where a mirror
 * of npm's registry has a certificate authority of its own, it knows that too.
 */
async function makeBase(image: string): Promise<void> {
  const release = /^node:\d+-(\w+)-slim$/.exec(image)?.[1];
  if (release === undefined)
    throw new Error(`FROM ${image}: only node:N-RELEASE-slim can be made of Debian's packages`);
  const root = join(folder, 'base');
  execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', release, root], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await cp(process.execPath, join(root, 'usr/local/bin/node'));
  const npm = await realpath(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim());
  await cp(dirname(dirname(npm)), join(root, 'usr/local/lib/node_modules/npm'), { recursive: true });
  const user = 'useradd --uid 1000 --user-group --create-home node';
  execFileSync('chroot', [
    root,
    '/bin/sh',
    '-c',
    `ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && ${user}`,
  ]);
  const authorities = process.env['NODE_EXTRA_CA_CERTS'];
  const changes = authorities === undefined ? [] : ['--change', `ENV NODE_EXTRA_CA_CERTS=${authorities}`];
  if (authorities !== undefined) await cp(authorities, join(root, authorities), { dereference: true });
  const archive = `${root}.tar`;
  execFileSync('tar', ['-cf', archive, '-C', root, '.']);
  podman('import', ...changes, archive, `docker.io/library/${image}`);
  await rm(root, { recursive: true });
  await rm(archive);
  console.log(`${image}: made of Debian ${release} and the Node.js of this machine, ${process.version}`);
}

function build(): void {
  const start = performance.now();
  const pull = values.base === 'debian' ? 'never' : 'missing';
  const flags = ['--isolation', 'chroot', '--format', 'docker', '--layers=false', '--target', 'cpu', `--pull=${pull}`];
  podman('build', ...flags, '--tag', NAME, '.');
  const size = Number(podman('image', 'inspect', '--format', '{{.Size}}', NAME));
  console.log(
    `built in ${((performance.now() - start) / 1e3).toFixed(0)} s; the image has ${(size / 2 ** 20).toFixed(0)} MiB`,
  );
}

/** Starts the container, restricted as the deployments in deploy/ restrict it. It has no network, so calls are made inside of it. */
function startContainer(): void {
  podman(
    ...['run', '--detach', '--name', NAME, '--network', 'none', '--read-only', '--tmpfs', '/tmp'],
    ...['--cap-drop', 'all', '--security-opt', 'no-new-privileges'],
    ...['--memory', '3g', '--cpus', '2', '--pids-limit', '200'],
    // podman's defaults exceed what root may set without CAP_SYS_RESOURCE.
    ...['--ulimit', 'nofile=4096:4096', '--ulimit', 'nproc=4096:4096'],
    ...['--volume', `${resolve(PHOTOGRAPH)}:/photograph.jpg:ro`, NAME],
  );
}

/** Seconds until the image's health check passes. */
async function secondsToHealthy(): Promise<number> {
  const start = performance.now();
  while (spawnSync('podman', [...storage, 'healthcheck', 'run', NAME], { stdio: 'ignore' }).status !== 0) {
    if (performance.now() - start > START_MS) throw new Error(`not healthy after ${START_MS} ms:\n${logs()}`);
    await delay(200);
  }
  return (performance.now() - start) / 1e3;
}

function logs(): string {
  const { stdout, stderr } = spawnSync('podman', [...storage, 'logs', NAME], { encoding: 'utf8' });
  return stdout + stderr;
}

async function check(): Promise<void> {
  console.log(`healthy after ${(await secondsToHealthy()).toFixed(1)} s`);
  const status = podman('exec', NAME, 'sh', '-c', 'cat /proc/1/status; grep -l jemalloc /proc/[0-9]*/maps | wc -l');
  const [user, capabilities, processes] = [/^Uid:\s+(\d+)/m, /^CapEff:\s+(\w+)/m, /(\d+)$/].map(
    (part) => part.exec(status)?.[1],
  );
  console.log(`user ${user}, capabilities ${capabilities}, jemalloc in ${processes} processes`);
  if (user === '0' || Number(capabilities) !== 0 || Number(processes) === 0)
    throw new Error('the image is not restricted as it should be');

  const embed = ['bin/vicregl.js', 'embed', '/photograph.jpg', '--address', '127.0.0.1:50051'];
  console.log(`a photograph: ${podman('exec', NAME, ...embed).slice(0, 60)}...`);

  podman('kill', '--signal', 'HUP', NAME);
  for (let i = 0; !logs().includes('"reloaded'); i++) {
    if (i === 50) throw new Error(`SIGHUP did not reload:\n${logs()}`);
    await delay(100);
  }
  console.log('SIGHUP: reloaded');

  podman('stop', '--time', String(STOP_SECONDS), NAME);
  const code = podman('inspect', '--format', '{{.State.ExitCode}}', NAME);
  console.log(`SIGTERM: exit code ${code}`);
  if (code !== '0') throw new Error(`the container must exit with code 0 after SIGTERM:\n${logs()}`);
}

try {
  await mkdir(folder, { recursive: true });
  const { image } = (await readStages('Dockerfile')).find(({ name }) => name === 'build')!;
  if (values.base === 'debian') await makeBase(image);
  build();
  startContainer();
  try {
    await check();
  } finally {
    podman('rm', '--force', NAME);
  }
} finally {
  // podman leaves its storage mounted on itself.
  spawnSync('umount', [join(folder, 'storage', 'overlay')], { stdio: 'ignore' });
  if (values.keep === undefined) await rm(folder, { recursive: true, force: true });
}
