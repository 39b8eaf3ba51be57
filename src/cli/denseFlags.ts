import { type Command, InvalidArgumentError, Option } from 'commander';
import type { FeatureFields, Tiles, Upsample } from '../client/options.js';

/** Flags of denser maps: --upsample and --tiles. */
export interface DenseFlags {
  readonly upsample?: Upsample;
  readonly tiles?: Tiles;
}

/** Reads a factor, `4`, or rows and columns, `56x80`. */
export function parseUpsample(text: string): Upsample {
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  const size = /^([1-9]\d*)x([1-9]\d*)$/.exec(text);
  if (size) return { rows: Number(size[1]), columns: Number(size[2]) };
  throw new InvalidArgumentError('It must be a whole FACTOR of at least 1, or ROWSxCOLUMNS.');
}

/** Reads `640`, `640x480`, `640,128` or `640x480,128`. */
export function parseTiles(text: string): Tiles {
  const parts = /^([1-9]\d*)(?:x([1-9]\d*))?(?:,(\d+))?$/.exec(text);
  if (!parts)
    throw new InvalidArgumentError('It must be SIDE or WIDTHxHEIGHT in pixels, optionally followed by ,OVERLAP.');
  const [, width, height, overlap] = parts;
  return {
    width: Number(width),
    ...(height !== undefined && { height: Number(height) }),
    ...(overlap !== undefined && { overlap: Number(overlap) }),
  };
}

/** Adds --upsample and --tiles. */
export function addDenseFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--upsample <factor|size>',
        "enlarge the map bilinearly by a factor, or to ROWSxCOLUMNS (torch's interpolate, align_corners false)",
      ).argParser(parseUpsample),
    )
    .addOption(
      new Option(
        '--tiles <side[,overlap]>',
        'run the network on overlapping windows of SIDE or WIDTHxHEIGHT pixels and merge their maps; the image keeps its size ' +
          'unless --resize is given (default overlap: half of the shorter side)',
      ).argParser(parseTiles),
    );
}

/** The options of the flags. */
export function denseOptions({ upsample, tiles }: DenseFlags): Pick<FeatureFields, 'upsample' | 'tiles'> {
  return { ...(upsample !== undefined && { upsample }), ...(tiles && { tiles }) };
}
