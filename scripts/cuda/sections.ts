import { type ChildProcess, spawn } from 'node:child_process';

/** Parts of a report that are measured by processes of their own, so that one that fails or hangs costs itself alone. */

export interface Section {
  readonly name: string;
  /** What it shows, for the report. */
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Seconds after which it is killed. */
  readonly budget: number;
  /** Whether the others are pointless where it fails. */
  readonly needed?: boolean;
}

export interface SectionResult {
  readonly name: string;
  readonly title: string;
  readonly status: 'ok' | 'failed' | 'out of time' | 'skipped';
  readonly seconds: number;
  /** What it printed as JSON, one value for each line, also where it failed later. */
  readonly data: readonly unknown[];
  /** Why it failed, with the end of what it said. */
  readonly error?: string;
}

/** Longest end of a section's messages that is kept. */
const MOST_MESSAGE = 2_000;
/** How long a process may take to end by itself, in ms. */
const GRACE_MS = 3_000;

function parseJson(text: string): unknown[] {
  try {
    return [JSON.parse(text)];
  } catch {
    return [];
  }
}

/** One value that takes the whole output, or one for each line that is JSON. */
function jsonOf(output: string): unknown[] {
  const whole = parseJson(output);
  return whole.length > 0 ? whole : output.split('\n').flatMap((line) => (/^[[{]/.test(line) ? parseJson(line) : []));
}

/** A signal to a process and all that it has started. */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // All of them have ended.
  }
}

/** Runs a section to its end or to the end of its time. Never rejects. */
export function runSection(section: Section): Promise<SectionResult> {
  const { name, title, command, args, environment, budget } = section;
  const start = performance.now();
  // A group of its own: what it starts ends with it.
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ORT_DISABLE_TELEMETRY: '1', ...process.env, ...environment },
  });
  let [output, said, late] = ['', '', false];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-MOST_MESSAGE);
  });
  let last: NodeJS.Timeout | undefined;
  const timer = setTimeout(() => {
    late = true;
    signalGroup(child, 'SIGTERM');
    last = setTimeout(() => signalGroup(child, 'SIGKILL'), GRACE_MS);
  }, budget * 1e3);
  return new Promise((resolve) => {
    const settle = (how: string | undefined) => {
      clearTimeout(timer);
      clearTimeout(last);
      signalGroup(child, 'SIGKILL');
      const error = late ? `took longer than ${budget} s` : how;
      resolve({
        name,
        title,
        status: late ? 'out of time' : how === undefined ? 'ok' : 'failed',
        seconds: Number(((performance.now() - start) / 1e3).toFixed(1)),
        data: jsonOf(output),
        ...(error !== undefined && { error: [error, said.trim()].filter(Boolean).join(': ') }),
      });
    };
    child.on('error', (error) => settle(error.message));
    child.on('close', (code, signal) =>
      settle(code === 0 ? undefined : signal ? `signal ${signal}` : `exit code ${code}`),
    );
  });
}

/**
 * Runs sections one after the other.
 * @param minutes for all; sections that would begin later are skipped, and the last is cut short.
 * @param progress told of each section's end.
 */
export async function runSections(
  sections: readonly Section[],
  minutes: number,
  progress: (result: SectionResult) => void = () => {},
): Promise<SectionResult[]> {
  const end = performance.now() + minutes * 60e3;
  const results: SectionResult[] = [];
  let blocked: string | undefined;
  for (const section of sections) {
    const left = (end - performance.now()) / 1e3;
    const why = blocked ?? (left < 1 ? `the ${minutes} minutes are over` : undefined);
    const { name, title, budget } = section;
    const result: SectionResult =
      why === undefined
        ? await runSection({ ...section, budget: Math.min(budget, Math.floor(left)) })
        : { name, title, status: 'skipped', seconds: 0, data: [], error: why };
    if (section.needed && result.status !== 'ok') blocked ??= `"${name}" failed, without which nothing runs`;
    results.push(result);
    progress(result);
  }
  return results;
}
