/**
 * Checks and measures this project on a machine with a GPU, in under ten minutes: which libraries are found, whether the
 * provider computes, where every operator runs, how closely the device agrees with the CPU, and how fast it is. Writes
 * report.md and report.json; commit both.
 *
 *   node dist/scripts/cuda/firstCard.js --out first-card [--device cuda] [--minutes 10] [--python /usr/bin/python3]
 *   node dist/scripts/cuda/firstCard.js --out first-try --device cpu --quick     # checks the command itself
 *
 * Each section is a process with its own time limit, so that one that fails or hangs does not affect the others. The report
 * names it, and the exit code is 1.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { writeChunksAtomically } from '../../src/tensor/atomicFile.js';
import type { Precision } from '../../src/train/precision.js';
import { type CardReport, reportMarkdown } from './cardReport.js';
import { runSections, type Section } from './sections.js';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    device: { type: 'string', default: 'cuda' },
    quick: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '10' },
    python: { type: 'string', default: '/usr/bin/python3' },
  },
});
const { out, device, quick, python } = values;
if (out === undefined) throw new Error('--out FOLDER is missing: report.md and report.json are written there');
if (device !== 'cpu' && device !== 'cuda') throw new Error(`--device is ${device}; it is cpu or cuda`);
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error(`--minutes is ${values.minutes}; it must be a number above 0`);

const root = fileURLToPath(new URL('../../../', import.meta.url));
const script = (path: string) => join(root, 'dist', 'scripts', path);
const node = (path: string, ...args: readonly string[]) => ({
  command: process.execPath,
  args: [script(path), ...args, '--device', device],
});

/** The check in float32 and in TF32. The CPU has float32 only. */
function inBothPrecisions(section: Section): Section[] {
  const exact: Section = {
    ...section,
    name: `${section.name}-float32`,
    title: `${section.title}, float32`,
    environment: { NVIDIA_TF32_OVERRIDE: '0' },
  };
  return device === 'cpu'
    ? [exact]
    : [exact, { ...section, name: `${section.name}-tf32`, title: `${section.title}, TF32` }];
}

/** Precisions that the device trains in, besides float32. The CPU has no bfloat16. */
const halves = device === 'cuda' ? (['bf16', 'fp16'] as const) : (['fp16'] as const);

function stepComparison(arch: string, budget: number, precision: Precision = 'fp32'): Section {
  const tiny = ['--size', '32', '--batch', '2', '--steps', '1', '--expander', '32-32', '--projector', '16-16'];
  const whole = ['--size', '224', '--batch', '64', '--steps', '5', '--steps-per-run', device === 'cuda' ? '4' : '1'];
  return {
    name: `step-${arch}${precision === 'fp32' ? '' : `-${precision}`}`,
    title: `Training step of ${arch} compared with PyTorch${precision === 'fp32' ? '' : `, ${precision}`}`,
    ...node(
      'bench/againstPytorch.js',
      ...['--arch', arch, '--python', python, '--precision', precision, ...(quick ? tiny : whole)],
    ),
    budget,
  };
}

const small = quick ? ['--size', '32', '--batch', '2'] : ['--size', '64', '--batch', '8'];
const sections: readonly Section[] = [
  {
    name: 'libraries',
    title: 'GPU, driver and libraries',
    ...node('cuda/cardChecks.js', 'libraries'),
    budget: 20,
    needed: true,
  },
  {
    name: 'device',
    title: 'The provider computes',
    ...node('cuda/cardChecks.js', 'device'),
    budget: 60,
    needed: true,
  },
  {
    name: 'placement',
    title: 'Operators that ran on another device',
    ...node(
      'cuda/operatorPlacement.js',
      ...['--model', bundledModelFolder, ...small, ...(quick ? ['--arch', 'smallest_convnext,smallest_resnet'] : [])],
    ),
    budget: 60,
  },
  ...inBothPrecisions({
    name: 'inference',
    title: 'Embeddings, maps and matches compared with the CPU',
    ...node(
      'cuda/cardChecks.js',
      'inference',
      '--model',
      bundledModelFolder,
      ...(quick ? small : ['--size', '224', '--batch', '4']),
    ),
    budget: 30,
  }),
  ...inBothPrecisions({
    name: 'training',
    title: 'Loss and gradients of a step compared with the CPU',
    // With fewer values per channel, BatchNorm would magnify rounding errors.
    ...node(
      'cuda/cardChecks.js',
      'training',
      ...['--arch', quick ? 'smallest_resnet' : 'convnext_atto,resnet18', '--size', '64', '--batch', '8'],
    ),
    budget: 45,
  }),
  ...halves.map((precision) => ({
    name: `training-${precision}`,
    title: `Loss and gradients of a step in ${precision} compared with float32 on the CPU`,
    ...node(
      'cuda/cardChecks.js',
      'training',
      ...['--arch', quick ? 'smallest_resnet' : 'convnext_atto,resnet18', '--size', '64', '--batch', '8'],
      ...['--precision', precision],
    ),
    budget: 45,
  })),
  {
    name: 'depthwise',
    title: 'Forms of the depthwise weight gradient',
    ...node(
      'bench/depthwiseGradient.js',
      ...(quick ? ['--batch', '1', '--maps', '4x8,7x8', '--seconds', '0.05'] : ['--batch', '128', '--seconds', '1']),
    ),
    budget: 40,
  },
  stepComparison(quick ? 'smallest_resnet' : 'resnet50', 90),
  stepComparison(quick ? 'smallest_convnext' : 'convnext_tiny', 70),
  {
    name: 'service',
    title: 'Images a second of the service, from JPEG files',
    command: process.execPath,
    args: [
      ...[join(root, 'bin', 'vicregl.js'), 'bench', '--model', bundledModelFolder, '--json', '--no-raw'],
      ...['--concurrency', quick ? '1,2' : '1,2,4,8,16,32,64', '--seconds', quick ? '0.2' : '1.5', '--ramp', '0.2'],
      ...['--max-windows', '3', '--', '--device', device, '--batch-images', '64'],
    ],
    budget: 70,
  },
  ...halves.flatMap((precision) =>
    (quick ? ['smallest_convnext'] : ['resnet50', 'convnext_tiny']).map((arch) => stepComparison(arch, 60, precision)),
  ),
];

const started = performance.now();
const results = await runSections(sections, minutes, ({ name, status, seconds, error }) => {
  console.error(`${name}: ${status}, ${seconds} s${error === undefined ? '' : ` (${error.split('\n')[0]})`}`);
});
const { version, dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
  version: string;
  dependencies: Record<string, string>;
};
const report: CardReport = {
  date: new Date().toISOString(),
  device,
  quick,
  versions: { vicregl: version, 'onnxruntime-node': dependencies['onnxruntime-node']!, node: process.version },
  seconds: Math.round((performance.now() - started) / 1e3),
  sections: results,
};
await mkdir(out, { recursive: true });
const write = (name: string, text: string) => writeChunksAtomically(join(out, name), [Buffer.from(text)]);
await write('report.json', `${JSON.stringify(report, undefined, 2)}\n`);
await write('report.md', reportMarkdown(report));
console.error(`wrote ${join(out, 'report.md')} and report.json`);
if (results.some(({ status }) => status !== 'ok')) process.exitCode = 1;
