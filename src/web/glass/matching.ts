import type { CropRequest, MatchDistance, ModelJson } from './messages.js';
import type { Photo, Size } from './photo.js';
import type { Call, Program } from './program.js';
import { Reference } from './reference.js';
import { featuresRequest, imageRequest, mapPath, type Settings } from './settings.js';

/** One side of a match: a photograph, or a crop of it. */
export interface Side {
  readonly photo: Photo;
  readonly crop?: CropRequest | undefined;
}

/** How cells are paired. */
export interface Matching {
  readonly by: 'features' | 'location';
  /** Pairs to keep; 0 keeps all. */
  readonly gamma: number;
  readonly mutual: boolean;
  readonly ratio: number | undefined;
  readonly minSimilarity: number | undefined;
  readonly distance: MatchDistance;
  readonly homography: boolean;
}

/** Every cell with its nearest, for the cell that the user selects. */
export const ALL: Matching = {
  by: 'features',
  gamma: 0,
  mutual: false,
  ratio: undefined,
  minSimilarity: undefined,
  distance: 'MATCH_DISTANCE_L2',
  homography: false,
};

/**
 * The calls of a match. Match itself knows spaces, not stages: the maps of a stage are computed first and sent as the
 * caller's features.
 */
export function matchProgram(
  sides: readonly [Side, Side],
  { by, gamma, mutual, ratio, minSimilarity, distance, homography }: Matching,
  settings: Settings,
  model: ModelJson | undefined,
): Program {
  const images = sides.map(({ photo, crop }) => imageRequest(photo, settings, model, crop));
  const staged = by === 'features' && settings.stage > 0;
  const maps: Call[] = staged ? images.map((image) => featuresRequest(image, settings)) : [];
  const [a, b] = images.map((image, i) =>
    staged
      ? {
          features: {
            features: new Reference(i, ...mapPath(settings), 'features'),
            grid: new Reference(i, ...mapPath(settings), 'grid'),
          },
        }
      : { image },
  );
  const matching =
    by === 'location'
      ? { byLocation: { topGamma: gamma } }
      : {
          byFeatures: {
            ...(staged ? {} : { space: settings.space }),
            topGamma: gamma,
            ...(mutual && { mutual }),
            ...(ratio !== undefined && { ratio }),
            ...(minSimilarity !== undefined && { minSimilarity }),
            ...(distance !== 'MATCH_DISTANCE_L2' && { distance }),
          },
        };
  const request = {
    ...(settings.model !== '' && { model: settings.model }),
    a: a!,
    b: b!,
    ...matching,
    ...(homography && { homography: {} }),
  };
  return [...maps, { method: 'Match', request }];
}

/** Two overlapping crops, each with two thirds of both sides. */
export function defaultCrops({ width, height }: Size): readonly [CropRequest, CropRequest] {
  const size = { width: Math.max(1, Math.round(width * 0.62)), height: Math.max(1, Math.round(height * 0.62)) };
  return [
    { left: 0, top: 0, ...size, flip: false },
    { left: width - size.width, top: height - size.height, ...size, flip: false },
  ];
}
