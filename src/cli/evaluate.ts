import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import writeFileAtomic from 'write-file-atomic';
import { defaultAugmentation } from '../data/augment.js';
import { openImageSource } from '../data/sources.js';
import type { Engine, OutputName } from '../engine/engine.js';
import { bootstrapInterval } from '../evaluate/bootstrap.js';
import { type MatchQuality, type MatchQualityOptions, matchQuality } from '../evaluate/matchQuality.js';
import { writeRandomModel } from '../models/randomModel.js';
import { bundledModelFolder } from './defaults.js';
import { addEngineFlags, type EngineFlags, openEngine } from './engine.js';

interface MatchesFlags extends EngineFlags {
  readonly model: string;
  readonly images: string;
  readonly augment: boolean;
  readonly pairs: string;
  readonly seed: string;
  readonly out?: string;
}

/** `vicregl evaluate`: how good a model's features are. */
export function registerEvaluate(program: Command): void {
  const evaluate = program.command('evaluate').description('Measure how good the features of a model are.');
  const command = evaluate
    .command('matches')
    .description(
      'Share of the top-20 feature matches (projector space) between overlapping crops of a photograph whose target lies within one cell of the true place, beside the same network with random weights.',
    )
    .requiredOption('--images <path>', 'folder or archive of photographs the model has not seen')
    .option('--model <dir>', 'model folder', bundledModelFolder)
    .option(
      '--augment',
      'flip the crops and change their colours as in training: colour alone no longer matches',
      false,
    )
    .option('--pairs <count>', 'pairs of crops of each photograph', '4')
    .option('--seed <number>', 'fixes crops, random weights and bootstrap', '0')
    .option('--out <file.json>', 'write the figures to a file too');
  addEngineFlags(command).action(async (flags: MatchesFlags) => {
    const photographs = await openImageSource(flags.images);
    const options: MatchQualityOptions = {
      pairsPerPhotograph: Number(flags.pairs),
      seed: Number(flags.seed),
      ...(flags.augment && {
        augmentation: { policy: defaultAugmentation, blurProbability: 0.5, solarizeProbability: 0.1 },
      }),
    };
    const trained = await openEngine(flags.model, flags);
    const scratch = await mkdtemp(join(tmpdir(), 'vicregl-'));
    try {
      const randomDir = join(scratch, 'random');
      const { manifest } = trained;
      const head = manifest.dims.mapsEmbedding;
      if (head === undefined)
        throw new Error(`${flags.model} has no local projector; there is no projector space to match in`);
      await writeRandomModel(randomDir, manifest, [head, head, head], Number(flags.seed));
      const random = await openEngine(randomDir, flags);
      const measure = async (engine: Engine) => {
        const result = await matchQuality(photographs, extractor(engine), options);
        await engine.close();
        return result;
      };
      const [own, baseline] = [await measure(trained), await measure(random)];
      const gain = own.perPhotograph.map((share, i) => share - baseline.perPhotograph[i]!);
      const report = {
        model: `${manifest.name} ${manifest.version}`,
        images: photographs.items.length,
        augmented: flags.augment,
        trained: figures(own),
        random: figures(baseline),
        gain_interval: bootstrapInterval(gain, { seed: Number(flags.seed) }).map(rounded),
        chance: rounded(own.chance),
      };
      const text = `${JSON.stringify(report, null, 2)}\n`;
      if (flags.out !== undefined) await writeFileAtomic(flags.out, text);
      process.stdout.write(text);
    } finally {
      await trained.close();
      await rm(scratch, { recursive: true, force: true });
    }
  });
}

const WANTED: ReadonlySet<OutputName> = new Set(['maps_embedding']);

function extractor(engine: Engine) {
  return async (batch: Parameters<Engine['run']>[0]) => (await engine.run(batch, WANTED)).maps_embedding!;
}

const rounded = (value: number) => Number(value.toFixed(4));

function figures({ share, interval, visible, matches }: MatchQuality) {
  return { share: rounded(share), interval_95: interval.map(rounded), visible: rounded(visible), matches };
}
