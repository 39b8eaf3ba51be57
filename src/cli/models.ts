import { basename, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { DataError } from '../data/dataError.js';
import type { SkippedImage } from '../data/sample.js';
import { openImageSource } from '../data/sources.js';
import { compareModels } from '../models/compareModels.js';
import { exportModel } from '../models/exportModel.js';
import { readManifestFile, requireFreePlace } from '../models/folder.js';
import { listModels } from '../models/listModels.js';
import type { Manifest } from '../models/manifest.js';
import { modelSource } from '../models/modelSource.js';
import type { RangeMethod } from '../models/quantize/ranges.js';
import { verifyModel } from '../models/verifyModel.js';
import { type WorkProgress, withProgress } from '../progress/work.js';
import { findModel, modelParents, openModel } from './modelFolders.js';
import { networkInputs, spreadIndices } from './networkInputs.js';
import { printJson } from './printJson.js';
import { skippedText } from './skippedText.js';
import { addVariantFlags, type VariantFlags, variantOf } from './variantFlags.js';
import { wholeNumber } from './wholeNumber.js';

/** Images on which an int8 model is compared with the float one; they are not used for calibration. */
const HELD_OUT_IMAGES = 50;

interface CompareFlags {
  readonly images: string;
  readonly count: number;
  readonly threads?: number;
}

interface QuantizeFlags {
  readonly images: string;
  readonly out: string;
  readonly calibrate: number;
  readonly ranges: RangeMethod;
  readonly force: boolean;
}

type ConvertFlags = VariantFlags & { readonly out: string; readonly force: boolean };

const mebibytes = ({ files }: Manifest) =>
  `${(Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0) / 2 ** 20).toFixed(1)} MiB`;

/** `vicregl models`: model folders on this machine. */
export function registerModels(program: Command): void {
  const models = program
    .command('models')
    .description('Manage model folders: list, show, verify, compare, convert, quantize.');
  models.command('list').description('List the models in ./models and those bundled with the package.').action(list);
  models
    .command('show')
    .description("Print a model's manifest.")
    .argument('<model>', 'name or folder')
    .action(async (model: string) => printJson(await readManifestFile(await findModel(model))));
  models
    .command('verify')
    .description(
      'Check every file, load every graph, and compare the outputs for a synthetic image with the recorded ones.',
    )
    .argument('<model>', 'name or folder')
    .action(verify);
  models
    .command('compare')
    .description(
      'Compare two variants of a network: cosine similarity of embeddings and cells, and speed, measured alternately.',
    )
    .argument('<a>', 'name or folder')
    .argument('<b>', 'name or folder')
    .requiredOption('--images <path>', 'folder or archive of photographs')
    .option('--count <images>', 'number of images, evenly spaced over the source', wholeNumber(1), 100)
    .option('--threads <count>', 'threads of each model (default: all cores)', wholeNumber(1, 1024))
    .action(compare);
  addVariantFlags(
    models
      .command('convert')
      .description('Write another variant of a float model.')
      .argument('<model>', 'name or folder')
      .requiredOption('--out <dir>', 'model folder; its name is the name of the model')
      .option('--force', 'replace the model folder', false),
  ).action(convert);
  models
    .command('quantize')
    .description('Write an int8 variant of a float model, for the CPU, calibrated on photographs.')
    .argument('<model>', 'name or folder')
    .requiredOption('--images <path>', 'folder or archive of photographs that are similar to those in use')
    .requiredOption('--out <dir>', 'model folder; its name is the name of the model')
    .option('--calibrate <images>', 'number of calibration images, evenly spaced over the source', wholeNumber(1), 64)
    .addOption(
      new Option(
        '--ranges <method>',
        'ranges of activations: minimum and maximum, or without one value in 100,000 at each end',
      )
        .choices(['minmax', 'percentile'])
        .default('minmax'),
    )
    .option('--force', 'replace the model folder', false)
    .action(quantize);
}

async function list(): Promise<void> {
  for (const listed of await listModels(modelParents())) {
    if ('problem' in listed) {
      console.log(`${listed.dir}  not readable: ${listed.problem.split('\n')[0]}`);
      continue;
    }
    const { manifest, dir } = listed;
    const form = manifest.compute === manifest.precision ? manifest.precision : `${manifest.precision} weights`;
    console.log(
      `${manifest.name.padEnd(28)} ${manifest.architecture}, ${manifest.dims.representation} channels, stride ` +
        `${manifest.stride}, ${form}, ${mebibytes(manifest)}, ${manifest.license}  ${dir}`,
    );
  }
}

async function verify(model: string): Promise<void> {
  const { manifest, files, graphs, check } = await verifyModel(await findModel(model));
  const answer = check
    ? `outputs as recorded (difference ${check.difference.toExponential(1)}, allowed ${check.tolerance})`
    : 'no recorded outputs to compare with';
  console.log(`${manifest.name}: ${files} files as listed, graphs ${graphs.join(', ')} load; ${answer}`);
}

async function compare(a: string, b: string, { images, count, threads }: CompareFlags): Promise<void> {
  const [first, second] = [await openModel(a), await openModel(b)];
  const source = await openImageSource(images, { given: '--images' });
  const skipped: SkippedImage[] = [];
  const indices = spreadIndices(source.count, count);
  try {
    const comparison = await withProgress((progress) => {
      progress.begin('comparing', indices.length, 'images');
      const inputs = networkInputs(source, indices, first.manifest, skipped, progress);
      return compareModels(first, second, inputs, threads === undefined ? {} : { threads });
    });
    printJson({ ...comparison, skipped: skippedText(skipped) });
  } catch (error) {
    sayAllSkipped(skipped);
    throw error;
  } finally {
    await source.close();
  }
}

/** Prints why images were skipped. */
function sayAllSkipped(skipped: readonly SkippedImage[]): void {
  for (const text of skippedText(skipped)) console.error(`skipped ${text}`);
}

async function convert(model: string, flags: ConvertFlags): Promise<void> {
  await requireFreePlace(flags.out, flags.force);
  const folder = await openModel(model);
  const source = await modelSource(folder, basename(resolve(flags.out)));
  const manifest = await withProgress((progress) =>
    exportModel(flags.out, source, { ...variantOf(flags), force: flags.force, progress }),
  );
  console.log(`${flags.out}: ${manifest.architecture}, ${manifest.precision}, ${mebibytes(manifest)}`);
}

async function quantize(model: string, { images, out, calibrate, ranges, force }: QuantizeFlags): Promise<void> {
  await requireFreePlace(out, force);
  const folder = await openModel(model);
  const source = await openImageSource(images, { given: '--images' });
  const calibrated = spreadIndices(source.count, calibrate);
  const seen = new Set(calibrated);
  const others = Array.from({ length: source.count }, (_, index) => index).filter((index) => !seen.has(index));
  const held = spreadIndices(others.length, HELD_OUT_IMAGES).map((index) => others[index]!);
  const skipped: SkippedImage[] = [];
  const read = async (indices: readonly number[], progress: WorkProgress) => {
    const inputs = [];
    for await (const { image } of networkInputs(source, indices, folder.manifest, skipped, progress)) {
      inputs.push(image);
    }
    return inputs;
  };
  const [calibration, heldOut] = await withProgress(async (progress) => {
    progress.begin('decoding', calibrated.length + held.length, 'images');
    return [await read(calibrated, progress), await read(held, progress)];
  });
  await source.close();
  sayAllSkipped(skipped);
  if (calibration.length === 0) {
    throw new DataError(
      'undecodable',
      `none of the ${calibrated.length} calibration images of ${images} can be decoded`,
    );
  }
  const modelled = await modelSource(folder, basename(resolve(out)));
  const manifest = await withProgress((progress) =>
    exportModel(out, modelled, {
      precision: 'float32',
      outputStride: folder.manifest.stride,
      stages: Object.keys(folder.manifest.outputs)
        .flatMap((name) => /^stage(\d+)$/.exec(name)?.[1] ?? [])
        .map(Number),
      quantize: { calibration, heldOut, ranges },
      force,
      progress,
    }),
  );
  const { agreement } = manifest.quantization!;
  const found = agreement
    ? `cosine similarity to the float model ${agreement.representation.mean.toFixed(5)} (worst ${agreement.representation.worst.toFixed(5)}) ` +
      `for embeddings, ${agreement.cells.mean.toFixed(5)} (worst ${agreement.cells.worst.toFixed(5)}) for cells of ${agreement.images} other images`
    : 'no images were left for a comparison with the float model';
  console.log(`${out}: int8, ${calibration.length} calibration images, ${mebibytes(manifest)}; ${found}`);
}
