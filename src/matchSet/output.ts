import type { ImageFeatures } from './features.js';
import type { PairMatches } from './pairMatches.js';

/** A matched pair, by the names of its images. */
export interface NamedPair {
  readonly a: string;
  readonly b: string;
}

/** What the writers of all formats read. */
export interface MatchedSet {
  /** Images with features, in order. */
  readonly names: readonly string[];
  /** Pairs of these images, in order. */
  readonly pairs: readonly NamedPair[];
  features(name: string): Promise<ImageFeatures>;
  matches(pair: NamedPair): Promise<PairMatches>;
}
