import type { ImageSource } from '../../data/sources.js';
import type { OutputName } from '../../engine/engine.js';
import { ParameterError } from '../../nn/parameters.js';
import { silentProgress } from '../../progress/work.js';
import type { SubjectMeasures } from '../result/buildResult.js';
import { meanFigure } from '../result/figures.js';
import type { Subject, SubjectSource } from '../subjects/subject.js';
import { type MatchQuality, type MatchQualityOptions, matchQuality } from './matchQuality.js';

const WANTED: ReadonlySet<OutputName> = new Set(['maps_embedding']);

/** Match quality of a subject in projector space, and the figures of it. */
export interface MeasuredMatches extends SubjectMeasures {
  readonly quality: MatchQuality;
}

/**
 * Measures the feature matches of a subject on pairs of crops; equal seeds give all subjects the same pairs.
 * @throws ParameterError for a model without a local projector, and what matchQuality throws.
 */
export async function measureMatches(
  subject: Subject,
  { name, model }: SubjectSource,
  photographs: ImageSource,
  options: MatchQualityOptions,
): Promise<MeasuredMatches> {
  const { progress = silentProgress } = options;
  if (!subject.outputs.has('maps_embedding')) throw new ParameterError(`${model} has no local projector`);
  progress.begin(name, photographs.count, 'photographs');
  const extract = async (batch: Parameters<Subject['run']>[0]) => (await subject.run(batch, WANTED)).maps_embedding!;
  const quality = await matchQuality(photographs, extract, { ...options, runs: subject.runs });
  return {
    quality,
    figures: [
      meanFigure(
        { name: 'share', label: 'matches within one cell', unit: 'share', better: 'higher' },
        quality.perPhotograph,
      ),
    ],
  };
}
