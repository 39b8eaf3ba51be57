import { availableParallelism, cpus } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type BenchPlan, bench } from '../bench/bench.js';
import type { Target } from '../bench/callers.js';
import type { Load } from '../bench/load.js';
import { type BenchMethod, benchMethods } from '../bench/methods.js';
import { madePictures, readPictures } from '../bench/pictures.js';
import { treeCpuSeconds } from '../bench/processCpu.js';
import { fastestRaw, type RawMeasurement, type RawSide, rawForms } from '../bench/raw.js';
import { loadRows, phaseRows, rawRows } from '../bench/report.js';
import { startService } from '../bench/serviceProcess.js';
import { VicreglError } from '../client/vicreglError.js';
import { openModelFolder } from '../models/folder.js';
import { bundledModelFolder } from './defaults.js';
import { ofInput } from './ofInput.js';
import { printJson } from './printJson.js';
import { table } from './table.js';
import { wholeNumber } from './wholeNumber.js';

interface BenchFlags {
  readonly address?: string;
  readonly model?: string;
  readonly method: BenchMethod;
  readonly concurrency?: readonly number[];
  readonly rate?: readonly number[];
  readonly images?: string;
  readonly seconds: number;
  readonly ramp: number;
  readonly maxWindows: number;
  readonly tolerance: number;
  readonly connections: number;
  readonly deadline: number;
  readonly raw: boolean;
  readonly json: boolean;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

const listOf =
  (parse: (text: string) => number) =>
  (text: string): number[] =>
    text.split(',').map(parse);

function loadsOf({ concurrency, rate }: BenchFlags): Load[] {
  const closed = concurrency ?? (rate === undefined ? [1, 2, 4, 8, 16] : []);
  return [
    ...closed.map((count) => ({ kind: 'closed', concurrency: count }) as const),
    ...(rate ?? []).map((perSecond, i) => ({ kind: 'open', rate: perSecond, seed: 1000 * i }) as const),
  ];
}

interface Raw {
  readonly sides: readonly RawSide[];
  readonly tried: readonly RawMeasurement[];
}

/** The fastest raw session, and the fastest with a session for each core. */
async function openRaws(model: string, device: 'cpu' | 'cuda', seconds: number): Promise<Raw> {
  const folder = await openModelFolder(model);
  const forms = rawForms(device);
  const sides: RawSide[] = [];
  const tried: RawMeasurement[] = [];
  for (const some of [forms.filter(({ sessions }) => sessions === 1), forms.filter(({ sessions }) => sessions > 1)]) {
    if (some.length === 0) continue;
    const fastest = await fastestRaw(folder, device, some, seconds);
    sides.push(fastest.side);
    tried.push(...fastest.tried);
  }
  return { sides, tried };
}

async function runBench(serveFlags: readonly string[], flags: BenchFlags): Promise<void> {
  if (flags.address !== undefined && (flags.model !== undefined || serveFlags.length > 0)) {
    throw new VicreglError(
      'INVALID_ARGUMENT',
      '--address measures a service that runs; leave out --model and the flags of "serve", or --address',
    );
  }
  const model = flags.model ?? bundledModelFolder;
  const images =
    flags.images === undefined
      ? await madePictures()
      : await ofInput('--images', flags.images, () => readPictures(flags.images!));
  const service =
    flags.address === undefined
      ? await startService(['--model', model, '--log-level', 'info', ...serveFlags])
      : undefined;
  let raw: Raw = { sides: [], tried: [] };
  try {
    if (service !== undefined && flags.raw) raw = await openRaws(model, service.provider, flags.seconds);
    const target: Target = {
      address: flags.address ?? service!.address,
      method: flags.method,
      images,
      deadlineMs: flags.deadline * 1e3,
      connections: flags.connections,
    };
    const plan: BenchPlan = {
      target,
      loads: loadsOf(flags),
      lengths: { ramp: flags.ramp, seconds: flags.seconds },
      maxWindows: flags.maxWindows,
      agreement: { windows: 3, tolerance: flags.tolerance },
      raw: raw.sides,
      ...(service && { serviceCpu: () => treeCpuSeconds(service.pid) }),
      progress: (text) => console.error(text),
    };
    const reports = await bench(plan);
    const raws = raw.sides.map((side) => side.measurement());
    const machine = `${availableParallelism()} x ${cpus()[0]?.model.trim()}`;
    if (flags.json) {
      printJson({ method: flags.method, machine, serveFlags, loads: reports, raw: raws, rawTried: raw.tried });
      return;
    }
    const parts = [loadRows(reports, raws), phaseRows(reports), raws.length > 0 ? rawRows(raws) : []];
    console.log(`${flags.method}, ${machine}`);
    for (const rows of parts) if (rows.length > 0) console.log(`\n${table(rows)}`);
  } finally {
    for (const side of raw.sides) await side.close();
    await service?.stop();
  }
}

/** `vicregl bench`: what a service does under load, beside the raw session of the same model. */
export function registerBench(program: Command): void {
  program
    .command('bench')
    .description(
      'Measure a service under load: a sweep of callers that wait for their answers (--concurrency), or calls at random ' +
        'times (--rate), in windows until the last three agree; beside the raw session of the same model.',
    )
    .argument('[serveFlags...]', 'after --: flags of "serve" for the service that is started, such as --threads 1')
    .option('--address <host:port>', 'a running service (default: one is started, and the raw session measured)')
    .option('--model <dir>', 'model folder to serve (default: the bundled one)')
    .addOption(new Option('--method <name>', 'what is called').choices(benchMethods).default('Embed'))
    .option('--concurrency <list>', 'callers at a time (default: 1,2,4,8,16)', listOf(wholeNumber(1, 10_000)))
    .option('--rate <list>', 'calls a second at the times of a Poisson process', listOf(positive))
    .option('--images <dir>', 'picture files to send in turn (default: 8 made JPEG files of 384 x 256, 30 kB)')
    .option('--seconds <seconds>', 'length of a window', positive, 3)
    .option('--ramp <seconds>', 'load before each window that does not count', positive, 0.5)
    .option('--max-windows <count>', 'windows of a load after which it counts as not settled', wholeNumber(3, 1000), 10)
    .option(
      '--tolerance <share>',
      'how far rate and median latency of the last three windows may differ',
      positive,
      0.1,
    )
    .option('--connections <count>', 'connections among which calls take turns', wholeNumber(1, 1000), 1)
    .option('--deadline <seconds>', 'longest wait for an answer', positive, 60)
    .option('--no-raw', 'leave the raw session out')
    .option('--json', 'print JSON in place of tables', false)
    .action(runBench);
}
