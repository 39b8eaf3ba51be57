import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { VicreglError } from '../client/vicreglError.js';
import { openImageSource } from '../data/sources.js';
import { modelDigest } from '../evaluate/subjects/modelSubject.js';
import { checkOutputFolder, writeOutput } from '../files/output.js';
import { openNearestSession, searchNearest } from '../match/tiled/search.js';
import { type MatchSetFormat, matchSet, type PairChoice } from '../matchSet/matchSet.js';
import type { PhotographSize } from '../matchSet/photographSize.js';
import { withProgress } from '../progress/work.js';
import { addConnectFlags, type ConnectFlags, withClient } from './connect.js';
import { addDenseFlags, type DenseFlags, denseOptions } from './denseFlags.js';
import { addMatchTestFlags, homographyOptions, type MatchTestFlags, matchTests } from './matchFlags.js';
import { ofInput } from './ofInput.js';
import { printJson } from './printJson.js';
import { stopOnSignals } from './stopOnSignals.js';
import { wholeNumber } from './wholeNumber.js';

interface MatchSetFlags extends ConnectFlags, DenseFlags, MatchTestFlags {
  readonly images: string;
  readonly pairs?: string;
  readonly exhaustive: boolean;
  readonly retrieval?: number;
  readonly out: string;
  readonly format: MatchSetFormat;
  readonly resize: PhotographSize;
  readonly space?: 'backbone' | 'localProjector';
  readonly stage?: number;
  readonly top: number;
  readonly mutual: boolean;
  readonly singleCamera: boolean;
}

/** Exit code of a run that left out images that cannot be read. */
const SOME_FAILED = 3;

/** Reads `longest:1024`, `shortest:480`, `fit:640x480` or `native`. */
export function parsePhotographSize(text: string): PhotographSize {
  if (text === 'native') return { kind: 'native' };
  const [, kind, side] = /^(longest|shortest):([1-9]\d*)$/.exec(text) ?? [];
  if (side !== undefined) return { kind: kind as 'longest' | 'shortest', side: Number(side) };
  const [, width, height] = /^fit:([1-9]\d*)x([1-9]\d*)$/.exec(text) ?? [];
  if (height !== undefined) return { kind: 'fit', width: Number(width), height: Number(height) };
  throw new InvalidArgumentError('It must be longest:SIDE, shortest:SIDE, fit:WIDTHxHEIGHT or native.');
}

/** @throws VicreglError unless exactly one of the flags is given. */
async function readChoice({ pairs, exhaustive, retrieval }: MatchSetFlags): Promise<PairChoice> {
  const given = [pairs !== undefined, exhaustive, retrieval !== undefined].filter(Boolean).length;
  if (given !== 1) {
    const message = `${given === 0 ? 'no pairs' : 'pairs are chosen twice'}: give one of --pairs FILE, --exhaustive and --retrieval COUNT`;
    throw new VicreglError('INVALID_ARGUMENT', message);
  }
  if (exhaustive) return { kind: 'exhaustive' };
  if (retrieval !== undefined) return { kind: 'retrieval', count: retrieval };
  return { kind: 'list', file: pairs!, text: await ofInput('--pairs', pairs!, () => readFile(pairs!, 'utf8')) };
}

/** `vicregl match-set`: matches of many pairs of images, in the layout of hloc or COLMAP. */
export function registerMatchSet(program: Command): void {
  const command = program
    .command('match-set')
    .description(
      'Match pairs of a set of images, and write features and matches as hloc or COLMAP read them. A run that was stopped goes on ' +
        `where it was. Exit code ${SOME_FAILED} if images cannot be read (failed.jsonl has them).`,
    )
    .requiredOption('--images <path>', 'images: a folder, an archive or a list')
    .option('--pairs <file>', 'list of pairs: two names a line, as hloc and COLMAP write it')
    .option('--exhaustive', 'match all pairs', false)
    .option('--retrieval <count>', 'match each image with the COUNT nearest by embedding', wholeNumber(1))
    .requiredOption('--out <dir>', 'output folder')
    .addOption(
      new Option('--format <format>', 'layout of the output').choices(['hloc', 'colmap', 'json']).default('hloc'),
    )
    .addOption(
      new Option(
        '--resize <policy>',
        "network input of the whole photographs: longest:SIDE, shortest:SIDE (aspect kept), fit:WxH or native; sides become multiples of the model's stride",
      )
        .argParser(parsePhotographSize)
        .default({ kind: 'longest', side: 1024 } satisfies PhotographSize, 'longest:1024'),
    )
    .addOption(
      new Option('--space <space>', 'space of the features (default: localProjector if the model has one)').choices([
        'backbone',
        'localProjector',
      ]),
    )
    .option('--stage <number>', 'map of an earlier stage, if the model was exported with it', wholeNumber(1))
    .option('--top <count>', 'number of closest matches of a pair to keep; 0 keeps all', wholeNumber(0), 0)
    .option('--no-mutual', 'also keep matches whose cells are not the nearest of each other')
    .option('--single-camera', 'colmap: one camera for all images, which have one size', false);
  for (const add of [addMatchTestFlags, addDenseFlags, addConnectFlags]) add(command);
  command.action(async (flags: MatchSetFlags) => {
    const { images: path, out, format, resize, space, stage, top, mutual, singleCamera } = flags;
    if (singleCamera && format !== 'colmap') {
      const message = `--single-camera: applies to --format colmap, not ${format}; remove it, or add --format colmap`;
      throw new VicreglError('INVALID_ARGUMENT', message);
    }
    const choice = await readChoice(flags);
    await checkOutputFolder('--out', out);
    const controller = new AbortController();
    const off = stopOnSignals(() =>
      controller.abort(new Error('stopped; run the same command again to go on where it was')),
    );
    const images = await openImageSource(path, { given: '--images' });
    try {
      await withClient(flags, async (client, local) => {
        const session = await openNearestSession(flags.threads ?? 0);
        try {
          const done = await withProgress((progress) =>
            writeOutput('--out', out, () =>
              matchSet({
                ...{ images, choice, out, format, singleCamera, client, progress },
                ...(local && { modelSha256: modelDigest(local) }),
                features: {
                  size: resize,
                  ...(space && { space }),
                  ...(stage !== undefined && { stage }),
                  ...denseOptions(flags),
                },
                matching: { topGamma: top, mutual, ...matchTests(flags), ...homographyOptions(flags) },
                search: (pair, signal) => searchNearest(session, pair, signal),
                signal: controller.signal,
              }),
            ),
          );
          printJson({ out, ...done });
          if (done.failed.length > 0) process.exitCode = SOME_FAILED;
        } finally {
          await session.release();
        }
      });
    } finally {
      off();
      await images.close();
    }
  });
}
