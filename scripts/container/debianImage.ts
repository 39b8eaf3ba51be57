/**
 * A last stage of the Dockerfile without a container engine: a Debian root of its own (mmdebstrap), in which RUN steps are
 * done by chroot and the entry point is started as process 1 of namespaces of its own, as the image's user, with the
 * image's variables and nothing else. Needs root, mmdebstrap, util-linux, and Debian's archive.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Stage, Step } from './stages.js';

/** Longest wait for the service to be healthy, as HEALTHCHECK's start period. */
const START_MS = 30_000;

function exists(program: string): boolean {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** What is missing here to do it, in words; undefined where nothing is. */
export function missingForImage(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'root on Linux';
  return ['mmdebstrap', 'unshare', 'nsenter', 'ip'].find((program) => !exists(program));
}

/** Key and value pairs of the ENV steps. */
function variables(steps: readonly Step[]): string[] {
  return steps.filter(({ keyword }) => keyword === 'ENV').flatMap(({ words }) => words);
}

function onlyOf(steps: readonly Step[], keyword: string): Step {
  const step = steps.findLast((candidate) => candidate.keyword === keyword);
  if (step === undefined) throw new Error(`the stage has no ${keyword}`);
  return step;
}

/** The array at the end of a step in exec form. */
const execForm = ({ text }: Step): string[] => JSON.parse(text.slice(text.indexOf('['))) as string[];

/** Node's image in the root: Debian's release by its name, this process' Node.js, the user `node` with id 1000. */
async function makeBase(image: string, root: string): Promise<void> {
  const release = /^node:\d+-(\w+)-slim$/.exec(image)?.[1];
  if (release === undefined) throw new Error(`FROM ${image}: only node:N-RELEASE-slim can be made here`);
  execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', release, root], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await cp(process.execPath, join(root, 'usr/local/bin/node'));
  execFileSync('chroot', [root, 'useradd', '--uid', '1000', '--user-group', '--create-home', 'node']);
}

/** Processes of a namespace, whose first is the child of `unshare`. */
async function firstProcess(unshare: ChildProcess): Promise<number> {
  for (;;) {
    if (unshare.exitCode !== null) throw new Error(`the entry point ended with ${unshare.exitCode}`);
    const children = await readFile(`/proc/${unshare.pid}/task/${unshare.pid}/children`, 'utf8');
    if (children.trim() !== '') return Number(children);
    await delay(10);
  }
}

/** Starts the image, waits until its own health check passes, and stops it as `docker stop` does. */
async function runImage(root: string, workdir: string, steps: readonly Step[], say: (what: string) => void) {
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  const user = onlyOf(steps, 'USER').text;
  // The directory is entered by the shell: GNU chroot begins at the root.
  const inImage = (command: readonly string[]): string[] => [
    ...['chroot', `--userspec=${user}:${user}`, root, '/usr/bin/env', '-i', '-C', workdir, path],
    ...variables(steps),
    ...command,
  ];
  const namespaces = ['--net', '--pid', '--mount', '--fork', '--kill-child'];
  const prepare = `mount -t proc proc '${root}/proc' && ip link set lo up && exec "$@"`;
  const command = [...execForm(onlyOf(steps, 'ENTRYPOINT')), ...execForm(onlyOf(steps, 'CMD'))];
  const container = spawn('unshare', [...namespaces, 'sh', '-c', prepare, 'sh', ...inImage(command)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(container, 'exit');
  try {
    const first = await firstProcess(container);
    const check = inImage(execForm(onlyOf(steps, 'HEALTHCHECK')));
    const start = performance.now();
    for (;;) {
      try {
        const answer = execFileSync('nsenter', [`--target=${first}`, '--net', '--pid', '--mount', ...check], {
          stdio: ['ignore', 'pipe', 'ignore'],
        });
        const seconds = ((performance.now() - start) / 1e3).toFixed(1);
        say(
          `${command.slice(0, 3).join(' ')} ... runs, and its health check says ${answer.toString().trim()} after ${seconds} s`,
        );
        break;
      } catch (error) {
        if (container.exitCode !== null || performance.now() - start > START_MS) throw error;
        await delay(200);
      }
    }
    const server = (await readFile(`/proc/${first}/task/${first}/children`, 'utf8')).trim();
    const status = await readFile(`/proc/${server}/status`, 'utf8');
    const maps = await readFile(`/proc/${server}/maps`, 'utf8');
    say(
      `its user is ${/^Uid:\s+(\d+)/m.exec(status)?.[1]}, jemalloc is ${maps.includes('libjemalloc') ? '' : 'not '}loaded`,
    );
    process.kill(first, 'SIGTERM');
    const [code] = await exited;
    say(`SIGTERM: exit code ${code}`);
    if (code !== 0 || !maps.includes('libjemalloc')) throw new Error('the image does not run as it should');
  } finally {
    container.kill('SIGKILL');
  }
}

/**
 * Does the steps of a last stage in `root`, which is made, and runs what comes out.
 * @param built the folder that COPY --from=build /image takes
 */
export async function tryImage({ name, image, steps }: Stage, root: string, built: string): Promise<void> {
  await makeBase(image, root);
  let workdir = '/';
  for (const { keyword, text, words } of steps) {
    if (keyword === 'WORKDIR') {
      workdir = text;
    } else if (keyword === 'RUN') {
      execFileSync('chroot', [root, '/usr/bin/env', '-i', '/bin/sh', '-c', text], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      console.log(`${name}: RUN ${text.slice(0, 70)}: done in a Debian root`);
    } else if (keyword === 'COPY') {
      if (words.join(' ') !== '--from=build /image ./') throw new Error(`COPY ${text}: not known here`);
      await cp(built, join(root, workdir), { recursive: true, verbatimSymlinks: true });
    }
  }
  await runImage(root, workdir, steps, (what) => console.log(`${name}: ${what}`));
}
