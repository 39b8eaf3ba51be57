import { type Command, Option } from 'commander';
import type { SkippedImage } from '../../data/sample.js';
import { sourceFingerprint } from '../../data/sourceFingerprint.js';
import type { ImageSource } from '../../data/sources.js';
import { contentsText, setDigest } from '../../evaluate/contentDigest.js';
import { type FeatureCache, featureCache } from '../../evaluate/featureCache.js';
import { buildResult, type ResultParts, summaryOf } from '../../evaluate/result/buildResult.js';
import type { ResultData } from '../../evaluate/result/schema.js';
import { type Baseline, openSubjects } from '../../evaluate/subjects/openSubjects.js';
import type { FeatureNeeds, SubjectSource } from '../../evaluate/subjects/subject.js';
import { inOrder } from '../../files/inOrder.js';
import { checkOutputFile, checkOutputFolder, writeOutputFile } from '../../files/output.js';
import { withScratch } from '../../files/scratch.js';
import { type ShownProgress, showProgress } from '../../progress/work.js';
import { ConfigError } from '../../train/config.js';
import { addEngineFlags, type EngineFlags, sayOnce, startBatchEngine } from '../engine.js';
import { openModel } from '../modelFolders.js';
import { ofInput } from '../ofInput.js';
import { printJson } from '../printJson.js';
import { wholeNumber } from '../wholeNumber.js';
import { addEvaluatedFlags, type EvaluatedFlags, type EvaluatedModel, openEvaluated } from './evaluatedModel.js';

/** Flags of every evaluation. */
export interface EvaluationFlags extends EngineFlags, EvaluatedFlags {
  readonly baseline?: readonly string[];
  readonly cache?: string;
  readonly seed?: number;
  readonly out?: string;
}

/**
 * Adds the flags of every evaluation: what is evaluated, baselines, cache, seed, output, engine.
 * @param seedOf what the seed decides, for --help.
 */
export function addEvaluationFlags(command: Command, seedOf: string): Command {
  addEvaluatedFlags(command)
    .addOption(
      new Option(
        '--baseline <name>',
        'what to compare with, paired by item: random (the same network with random weights), pixels (raw pixels), a ' +
          'model by path or by name, or none; repeat it for several (default: random)',
      ).argParser((name: string, previous: readonly string[] = []) => [...previous, name]),
    )
    .option('--cache <dir>', 'keep computed features in this folder, and use those that it has')
    .option(
      '--seed <number>',
      `random seed of ${seedOf}, random weights and bootstrap (default: that of the run, or 0)`,
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
    )
    .option('--out <file.json>', 'write the result to a file, with the values of each item');
  return addEngineFlags(command);
}

/** What an evaluation measures with. */
export interface EvaluationContext {
  readonly evaluated: EvaluatedModel;
  /** What is evaluated, then the baselines. */
  readonly sources: readonly SubjectSource[];
  readonly seed: number;
  readonly cache: FeatureCache;
  /** Temporary folder, which is removed when the evaluation ends. */
  readonly scratch: string;
  readonly progress: ShownProgress;
  /** Prints a message once, above the progress bar. */
  readonly log: (message: string) => void;
}

/** The parts of a result that differ between evaluations. */
export type EvaluationParts = Omit<ResultParts, 'command' | 'seed' | 'sources' | 'began'>;

/** @throws ConfigError for none beside others. */
function baselinesOf({ baseline = ['random'] }: EvaluationFlags): readonly string[] {
  if (!baseline.includes('none')) return baseline;
  const other = baseline.find((name) => name !== 'none');
  if (other !== undefined) throw new ConfigError(`--baseline none excludes --baseline ${other}; leave out one of them`);
  return [];
}

async function openBaseline(name: string): Promise<Baseline> {
  if (name === 'random' || name === 'pixels') return name;
  return { model: await ofInput('--baseline', name, () => openModel(name)) };
}

/**
 * Runs an evaluation: opens the model and its baselines, measures, prints the result without the values of each item, and
 * writes all of it to --out. Nothing stays behind in temporary folders.
 * @param needs outputs that the model must have; an export of it is made where it lacks them.
 */
export async function runEvaluation(
  flags: EvaluationFlags,
  needs: (evaluated: EvaluatedModel) => FeatureNeeds,
  evaluate: (context: EvaluationContext) => Promise<EvaluationParts>,
): Promise<void> {
  const { out, cache } = flags;
  const began = performance.now();
  const names = baselinesOf(flags);
  if (out !== undefined) await checkOutputFile('--out', out);
  if (cache !== undefined) await checkOutputFolder('--cache', cache);
  const progress = showProgress();
  const evaluateIn = async (scratch: string): Promise<void> => {
    const evaluated = await openEvaluated(flags, scratch);
    const baselines = await inOrder(names, openBaseline);
    const seed = flags.seed ?? evaluated.config?.seed ?? 0;
    const log = sayOnce(progress.note);
    const sources = await openSubjects(evaluated.folder, baselines, {
      startEngine: (folder) => startBatchEngine(folder, flags, log),
      seed,
      scratch,
      needs: needs(evaluated),
    });
    const parts = await evaluate({ evaluated, sources, seed, cache: featureCache(cache), scratch, progress, log });
    progress.stop();
    const result = buildResult({ ...parts, command: process.argv.slice(2), seed, sources, began });
    // Printed first, so that a full disk does not lose the results.
    printJson(summaryOf(result));
    if (out !== undefined) await writeOutputFile('--out', out, `${JSON.stringify(result)}\n`);
  };
  try {
    await withScratch(evaluateIn);
  } finally {
    progress.stop();
  }
}

/** A set of images of a result. */
export interface MeasuredSet {
  readonly role: ResultData['role'];
  /** As it was given. */
  readonly path: string;
  readonly source: ImageSource;
  /** Of the images that were used or skipped. */
  readonly indices: readonly number[];
  /** Number of those that were used. */
  readonly images: number;
  readonly skipped: readonly SkippedImage[];
}

/** How a set of images stands in the result. Images that were measured are not read again. */
export async function resultData({ role, path, source, indices, images, skipped }: MeasuredSet): Promise<ResultData> {
  return {
    role,
    source: path,
    fingerprint: sourceFingerprint(source),
    contents: contentsText(await setDigest(source, indices)),
    images,
    skipped: skipped.map(({ name, reason }) => ({ name, reason })),
  };
}
