import type { EvaluationResult, ResultData } from '../../evaluate/result/schema.js';

/** Whether results were measured on the same images. */

type Measured = Pick<EvaluationResult, 'data' | 'seed'>;

/** Whether fewer images were used than the source has, whose number its fingerprint begins with: a part that the seed draws. */
export const isPart = ({ fingerprint, images, skipped }: ResultData): boolean =>
  images + skipped.length < Number.parseInt(fingerprint, 10);

/**
 * Whether the files of a set had the same contents in two results.
 * @returns undefined where that is not known: a result of an older version has no digest of them, and parts that other seeds drew are
 *   other images of perhaps the same source.
 */
export function haveSameContents(a: Measured, b: Measured, set: number): boolean | undefined {
  const [of, other] = [a.data[set]!, b.data[set]!];
  if (of.contents === undefined || other.contents === undefined) return undefined;
  if (a.seed !== b.seed && (isPart(of) || isPart(other))) return undefined;
  return of.contents === other.contents;
}

/** Whether both have sets of the same names, order and classes, wherever they are. */
export function haveSameSets(a: Measured, b: Measured): boolean {
  const setsOf = ({ data }: Measured) => JSON.stringify(data.map(({ role, fingerprint }) => [role, fingerprint]));
  return setsOf(a) === setsOf(b);
}

/** The places of the sets of which two results with the same sets had files of other contents. */
export function changedSets(a: Measured, b: Measured): number[] {
  return a.data.flatMap((_, set) => (haveSameContents(a, b, set) === false ? [set] : []));
}
