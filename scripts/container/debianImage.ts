/**
 * Builds and runs the last stage of the Dockerfile without a container engine. The stage gets a new Debian root directory
 * (mmdebstrap), and RUN steps run in it by chroot. The entry point starts as process 1 of new namespaces, as the user of the
 * image, with only the environment variables of the image. Needs root, mmdebstrap, util-linux and access to Debian's archive.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Stage, Step } from './stages.js';

/** Time limit in milliseconds until the service is healthy. Equals the start period of HEALTHCHECK. */
const START_MS = 30_000;

function exists(program: string): boolean {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** What this machine lacks to run the last stage, in words; undefined if it lacks nothing. */
export function missingForImage(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'root on Linux';
  return ['mmdebstrap', 'unshare', 'nsenter', 'ip'].find((program) => !exists(program));
}

/** KEY=value words of the ENV steps. */
function variables(steps: readonly Step[]): string[] {
  return steps.filter(({ keyword }) => keyword === 'ENV').flatMap(({ words }) => words);
}

function lastStepOf(steps: readonly Step[], keyword: string): Step {
  const step = steps.findLast((candidate) => candidate.keyword === keyword);
  if (step === undefined) throw new Error(`the stage has no ${keyword}`);
  return step;
}

/** The command of a step in exec form: the JSON array at its end. */
const execForm = ({ text }: Step): string[] => JSON.parse(text.slice(text.indexOf('['))) as string[];

/** Makes an equivalent of Node's image in `root`: the Debian release of its name, this process' Node.js, the user `node` (1000). */
async function makeBase(image: string, root: string): Promise<void> {
  const release = /^node:\d+-(\w+)-slim$/.exec(image)?.[1];
  if (release === undefined) throw new Error(`FROM ${image}: only node:N-RELEASE-slim is supported here`);
  execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', release, root], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await cp(process.execPath, join(root, 'usr/local/bin/node'));
  execFileSync('chroot', [root, 'useradd', '--uid', '1000', '--user-group', '--create-home', 'node']);
}

/** Id of the first process of the namespaces, which is the child of `unshare`. Waits until it exists. */
async function firstProcess(unshare: ChildProcess): Promise<number> {
  for (;;) {
    if (unshare.exitCode !== null) throw new Error(`the entry point exited with code ${unshare.exitCode}`);
    const children = await readFile(`/proc/${unshare.pid}/task/${unshare.pid}/children`, 'utf8');
    if (children.trim() !== '') return Number(children);
    await delay(10);
  }
}

/** Starts the image, waits until its health check passes, and stops it as `docker stop` does. */
async function runImage(root: string, workdir: string, steps: readonly Step[], report: (what: string) => void) {
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  const user = lastStepOf(steps, 'USER').text;
  // GNU chroot starts in the root directory, so `env -C` changes to the working directory.
  const inImage = (command: readonly string[]): string[] => [
    ...['chroot', `--userspec=${user}:${user}`, root, '/usr/bin/env', '-i', '-C', workdir, path],
    ...variables(steps),
    ...command,
  ];
  const namespaces = ['--net', '--pid', '--mount', '--fork', '--kill-child'];
  const prepare = `mount -t proc proc '${root}/proc' && ip link set lo up && exec "$@"`;
  const command = [...execForm(lastStepOf(steps, 'ENTRYPOINT')), ...execForm(lastStepOf(steps, 'CMD'))];
  const container = spawn('unshare', [...namespaces, 'sh', '-c', prepare, 'sh', ...inImage(command)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(container, 'exit');
  try {
    const first = await firstProcess(container);
    const check = inImage(execForm(lastStepOf(steps, 'HEALTHCHECK')));
    const start = performance.now();
    for (;;) {
      try {
        const output = execFileSync('nsenter', [`--target=${first}`, '--net', '--pid', '--mount', ...check], {
          stdio: ['ignore', 'pipe', 'ignore'],
        });
        const seconds = ((performance.now() - start) / 1e3).toFixed(1);
        report(
          `${command.slice(0, 3).join(' ')} ... runs; its health check printed ${output.toString().trim()} after ${seconds} s`,
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
    report(
      `user id ${/^Uid:\s+(\d+)/m.exec(status)?.[1]}, jemalloc ${maps.includes('libjemalloc') ? '' : 'not '}loaded`,
    );
    process.kill(first, 'SIGTERM');
    const [code] = await exited;
    report(`SIGTERM: exit code ${code}`);
    if (code !== 0 || !maps.includes('libjemalloc'))
      throw new Error('the image must load jemalloc and exit with code 0 after SIGTERM');
  } finally {
    container.kill('SIGKILL');
  }
}

/**
 * Runs the steps of the last stage in `root`, which it creates, and then runs the resulting image.
 * @param built the folder that replaces /image of the build stage in COPY --from=build
 */
export async function buildAndRunImage({ name, image, steps }: Stage, root: string, built: string): Promise<void> {
  await makeBase(image, root);
  let workdir = '/';
  for (const { keyword, text, words } of steps) {
    if (keyword === 'WORKDIR') {
      workdir = text;
    } else if (keyword === 'RUN') {
      execFileSync('chroot', [root, '/usr/bin/env', '-i', '/bin/sh', '-c', text], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      console.log(`${name}: RUN ${text.slice(0, 70)}: done in a Debian root directory`);
    } else if (keyword === 'COPY') {
      if (words.join(' ') !== '--from=build /image ./')
        throw new Error(`COPY ${text}: only COPY --from=build /image ./ is supported here`);
      await cp(built, join(root, workdir), { recursive: true, verbatimSymlinks: true });
    }
  }
  await runImage(root, workdir, steps, (what) => console.log(`${name}: ${what}`));
}
