import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { stringify } from 'yaml';
import type { FileContent } from '../files/syncedFile.js';
import { exportModel } from '../models/exportModel.js';
import { requireFreePlace } from '../models/folder.js';
import { CARD_FILE } from '../models/formCard.js';
import { UNKNOWN_LICENSE } from '../models/importCheckpoint.js';
import { withProgress } from '../progress/work.js';
import type { CheckpointChoice } from '../train/checkpoint.js';
import { createCurvePoints } from '../train/curvePoints.js';
import { drawRun } from '../train/curves.js';
import { initialSourceOf, loadRun } from '../train/runFolder.js';
import { readRunLog, runLogText } from '../train/runLog.js';
import { createLogSummary } from '../train/runSummary.js';
import { checkpointOption } from './checkpointFlag.js';
import { ofInput } from './ofInput.js';
import { runModel } from './runModel.js';
import { shellWord } from './shellWord.js';
import { addVariantFlags, type VariantFlags, variantOf } from './variantFlags.js';

interface ExportFlags extends VariantFlags {
  readonly checkpoint?: CheckpointChoice;
  readonly out: string;
  readonly weights: 'last' | 'ema';
  readonly expander: boolean;
  readonly modelVersion: string;
  readonly license?: string;
  readonly note?: string;
  readonly card?: string;
  readonly force: boolean;
}

/** `vicregl export`: a run's checkpoint as a model folder. */
export function registerExport(program: Command): void {
  const command = program
    .command('export')
    .description(
      "Export a run's checkpoint to a model folder: ONNX graphs, manifest, configuration, log and loss curve.",
    )
    .argument('<run>', 'run folder of vicregl train')
    .requiredOption('--out <dir>', 'model folder; its name becomes the name of the model')
    .addOption(checkpointOption('checkpoint: latest (default), best, or a step number'))
    .addOption(
      new Option('--weights <which>', 'weights of the last step, or their moving average (optimizer.emaDecay)')
        .choices(['last', 'ema'])
        .default('last'),
    )
    .option('--no-expander', 'omit the expander, the largest head, which is rarely needed for serving')
    .option('--model-version <version>', 'version of the weights', '1')
    .option('--license <name>', 'licence of the weights (default: the license key of the run, else unknown)')
    .option('--note <text>', 'description of the training data, for the manifest')
    .option('--card <file.md>', 'model card, stored as README.md: data, results, limitations')
    .option('--force', 'overwrite an existing model folder', false);
  addVariantFlags(command).action(async (run: string, flags: ExportFlags) => {
    await requireFreePlace(flags.out, flags.force);
    const { checkpoint, config } = await loadRun(run, flags.checkpoint);
    const license = flags.license ?? config.license ?? UNKNOWN_LICENSE;
    const name = basename(resolve(flags.out));
    const files = new Map<string, FileContent>();
    files.set('config.yaml', new TextEncoder().encode(stringify(config)));
    const environment = join(run, 'environment.json');
    files.set('environment.json', await ofInput('<run>', environment, () => readFile(environment)));
    const init = await initialSourceOf(run);
    const { card } = flags;
    if (card !== undefined) files.set(CARD_FILE, await ofInput('--card', card, () => readFile(card)));
    // Only up to the checkpoint: a run in progress has later lines, and the last one may be incomplete.
    const { step } = checkpoint;
    files.set('log.jsonl', runLogText(run, step));
    const curve = createCurvePoints();
    const log = createLogSummary();
    for await (const record of readRunLog(run, { lastStep: step })) {
      curve.add(record);
      log.add(record);
    }
    files.set('loss.svg', new TextEncoder().encode(await drawRun({ name, points: curve.points() })));
    const manifest = await withProgress((progress) =>
      exportModel(
        flags.out,
        {
          name,
          version: flags.modelVersion,
          ...runModel(config, checkpoint, flags.weights),
          writeExpander: flags.expander,
          license,
          training: {
            ...(flags.note !== undefined && { note: flags.note }),
            ...log.summary(step),
            ...(init && {
              init: {
                ...init,
                drawn: init.drawn.map((part) => ({ ...part })),
                unused: init.unused.map((part) => ({ ...part })),
              },
            }),
            weights: flags.weights,
            ...(flags.weights === 'ema' && { emaDecay: config.optimizer.emaDecay! }),
            batchSize: config.batchSize,
            ...(checkpoint.ranks !== undefined && { ranks: checkpoint.ranks }),
            cropSize: config.crops.size,
            smallCrops: config.crops.small?.count ?? 0,
            seed: config.seed,
          },
          files,
        },
        { ...variantOf(flags), force: flags.force, progress },
      ),
    );
    if (license === UNKNOWN_LICENSE) console.error('The licence of the weights is unknown; set it with --license.');
    const bytes = Object.values(manifest.files).reduce((sum, file) => sum + file.bytes, 0);
    console.log(`${flags.out}: ${manifest.architecture}, step ${step}, ${(bytes / 2 ** 20).toFixed(1)} MiB`);
    console.log(`serve it with: npx vicregl serve --model ${shellWord(flags.out)}`);
  });
}
