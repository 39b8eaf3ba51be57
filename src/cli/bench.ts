import { type Command, InvalidArgumentError, Option } from 'commander';
import { type BenchPlan, bench } from '../bench/bench.js';
import type { Target } from '../bench/callers.js';
import type { Load } from '../bench/load.js';
import { machineName } from '../bench/machine.js';
import { type BenchMethod, benchMethods } from '../bench/methods.js';
import { madePictures, readPictures } from '../bench/pictures.js';
import { treeCpuSeconds } from '../bench/processCpu.js';
import { fastestRaw, type RawMeasurement, type RawSide, rawForms } from '../bench/raw.js';
import { loadRows, phaseRows, rawRows } from '../bench/report.js';
import { startService } from '../bench/serviceProcess.js';
import { VicreglError } from '../client/vicreglError.js';
import { bundledModelFolder } from './defaults.js';
import { openModel } from './modelFolders.js';
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

/** The fastest single raw session, and the fastest configuration with several sessions. */
async function openRaws(model: string, device: 'cpu' | 'cuda', seconds: number): Promise<Raw> {
  const folder = await openModel(model);
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
      '--address measures a running service and cannot be combined with --model or flags of "serve"',
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
    const machine = machineName();
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

/** `vicregl bench`: measures a service under load and compares it with the raw session of the same model. */
export function registerBench(program: Command): void {
  program
    .command('bench')
    .description(
      'Measure a service under load and compare it with the raw session of the same model. The load is a closed loop of concurrent ' +
        'callers (--concurrency), or calls at random times (--rate). Windows are measured until the last three agree.',
    )
    .argument('[serveFlags...]', 'after --: flags of "serve" for the service that is started, such as --threads 1')
    .option(
      '--address <host:port>',
      'address of a running service (default: start one, and also measure the raw session)',
    )
    .option('--model <model>', 'model folder to serve, by path or by name (default: the bundled model)')
    .addOption(new Option('--method <name>', 'method to call').choices(benchMethods).default('Embed'))
    .option(
      '--concurrency <list>',
      'numbers of concurrent callers (default: 1,2,4,8,16)',
      listOf(wholeNumber(1, 10_000)),
    )
    .option('--rate <list>', 'calls per second, at the times of a Poisson process', listOf(positive))
    .option('--images <dir>', 'folder of image files to send (default: 8 generated JPEG files of 384 x 256, 30 kB)')
    .option('--seconds <seconds>', 'length of a measurement window', positive, 3)
    .option('--ramp <seconds>', 'warm-up before each window, which is not counted', positive, 0.5)
    .option(
      '--max-windows <count>',
      'maximum number of windows per load; after that the result is marked as not stable',
      wholeNumber(3, 1000),
      10,
    )
    .option(
      '--tolerance <share>',
      'maximum relative difference of rate and median latency in the last three windows',
      positive,
      0.1,
    )
    .option('--connections <count>', 'number of connections over which calls are distributed', wholeNumber(1, 1000), 1)
    .option('--deadline <seconds>', 'deadline of a call in seconds', positive, 60)
    .option('--no-raw', 'do not measure the raw session')
    .option('--json', 'print JSON instead of tables', false)
    .action(runBench);
}
