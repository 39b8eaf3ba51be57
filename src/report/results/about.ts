import { basename } from 'node:path';
import type { EvaluationResult, ResultData } from '../../evaluate/result/schema.js';

/** How reports call what was measured, and on what. */

export const KIND_TITLES: Readonly<Record<EvaluationResult['kind'], string>> = {
  knn: 'k-NN classification',
  linear: 'Linear classification',
  segmentation: 'Linear segmentation',
  retrieval: 'Image retrieval',
  matches: 'Feature matches',
  homography: 'Homographies',
};

export const countText = (value: number): string => value.toLocaleString('en');
export const plural = (value: number, noun: string): string => `${countText(value)} ${noun}${value === 1 ? '' : 's'}`;

/** The name of a set of images, without its folder. */
export const dataName = ({ source }: ResultData): string => basename(source) || source;

/** Such as `train: train.tar (2,000 images), test: val.tar (500 images)`. */
const dataText = (data: readonly ResultData[]): string =>
  data.map((each) => `${each.role}: ${dataName(each)} (${plural(each.images, 'image')})`).join(', ');

/** Protocol and data, without a point at the end. */
export const aboutText = ({ protocol, data }: Pick<EvaluationResult, 'protocol' | 'data'>): string =>
  [protocol.replace(/\.$/, ''), dataText(data)].filter((text) => text !== '').join('. ');
