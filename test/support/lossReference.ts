import type { CriterionWeights } from '../../src/vicregl/criterion.js';
import type { LossConfig } from '../../src/vicregl/loss.js';

/** The loss of docs/method.md in plain loops, in float64. */

/** Embeddings of one view with B images, P cells, D and D' channels. */
export interface ReferenceView {
  readonly cells: number;
  /** [B, D] */
  readonly embedding: readonly number[];
  /** [B, P, D'] */
  readonly maps: readonly number[];
  /** Cell centres [B, P, 2], pixels of the original, (row, column). */
  readonly locations: readonly number[];
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
type Rows = readonly (readonly number[])[];

function regularisers(rows: Rows): [variance: number, covariance: number] {
  const d = rows[0]!.length;
  const means = Array.from({ length: d }, (_, k) => mean(rows.map((row) => row[k]!)));
  let [hinge, squares] = [0, 0];
  for (let i = 0; i < d; i++)
    for (let j = 0; j < d; j++) {
      const c = rows.reduce((s, row) => s + (row[i]! - means[i]!) * (row[j]! - means[j]!), 0) / (rows.length - 1);
      if (i === j) hinge += Math.max(0, 1 - Math.sqrt(c + 1e-4));
      else squares += c * c;
    }
  return [hinge / d, squares / d];
}

/** NT-Xent of matched rows: compares each of the 2N vectors with the 2N - 1 others. */
function contrast(x: Rows, y: Rows, temperature: number): number {
  const unit = [...x, ...y].map((row) => row.map((value) => value / Math.hypot(...row)));
  const exponentials = unit.map((a) =>
    unit.map((b) => Math.exp(a.reduce((s, v, k) => s + v * b[k]!, 0) / temperature)),
  );
  return mean(
    exponentials.map((row, anchor) => {
      const others = row.reduce((s, value, k) => s + (k === anchor ? 0 : value), 0);
      return -Math.log(row[(anchor + x.length) % row.length]! / others);
    }),
  );
}

export const TERMS = ['invariance', 'variance', 'covariance', 'contrast'] as const;

/** Weight of each term. NT-Xent replaces the other three. */
export const weightsOf = (weights: CriterionWeights, { simclr }: LossConfig) =>
  TERMS.map((term) => (term === 'contrast' ? Number(simclr !== undefined) : simclr ? 0 : weights[term]));

const distance = (a: readonly number[], b: readonly number[]) => a.reduce((s, v, i) => s + (v - b[i]!) ** 2, 0);
const rowsOf = (values: readonly number[], image: number, cells: number, d: number): number[][] =>
  Array.from({ length: cells }, (_, p) => values.slice((image * cells + p) * d, (image * cells + p + 1) * d));

/** The terms of one direction of one kind of matches. */
function direction(
  from: ReferenceView,
  to: ReferenceView,
  kind: 'maps' | 'locations',
  { batch, gamma, temperature }: { batch: number; gamma: number; temperature: number },
): number[] {
  const channels = from.maps.length / (batch * from.cells);
  const d = kind === 'maps' ? channels : 2;
  const pairs = Array.from({ length: batch }, (_, image) => {
    const [a, b] = [rowsOf(from[kind], image, from.cells, d), rowsOf(to[kind], image, to.cells, d)];
    const nearest = a.map((cell, source) => {
      const distances = b.map((other) => distance(cell, other));
      const least = Math.min(...distances);
      return { source, target: distances.indexOf(least), least };
    });
    const kept = [...nearest].sort((x, y) => x.least - y.least).slice(0, gamma);
    kept.sort((x, y) => x.source - y.source);
    const [mapsA, mapsB] = [rowsOf(from.maps, image, from.cells, channels), rowsOf(to.maps, image, to.cells, channels)];
    return kept.map(({ source, target }) => [mapsA[source]!, mapsB[target]!] as const);
  });
  const positions = Array.from({ length: gamma }, (_, g) => pairs.map((image) => image[g]!));
  const perPosition = positions.map((matched) => {
    const [left, right] = [regularisers(matched.map(([a]) => a)), regularisers(matched.map(([, b]) => b))];
    const invariance = mean(matched.map(([a, b]) => distance(a, b) / channels));
    const [x, y] = [matched.map(([a]) => a), matched.map(([, b]) => b)];
    return [invariance, mean([left[0], right[0]]), mean([left[1], right[1]]), contrast(x, y, temperature)];
  });
  return TERMS.map((_, term) => term).map((term) => mean(perPosition.map((terms) => terms[term]!)));
}

/** The weighted terms of both losses, in the order of TERMS, and the total. @param batch images */
export function reference(views: readonly ReferenceView[], config: LossConfig, batch: number) {
  const { alpha, numMatches, featureMatches, matches = 'both', weights, localWeights = weights } = config;
  const pairs = [0, 1].flatMap((i) => views.map((_, j) => [i, j] as const).filter(([a, b]) => a !== b));
  const [scale, localScale] = [weights, localWeights].map((w) => weightsOf(w, config));
  const temperature = config.simclr?.temperature ?? 1;
  const dim = views[0]!.embedding.length / batch;
  const statistics = views.map(({ embedding }) => regularisers(rowsOf(embedding, 0, batch, dim)));
  const global = [
    mean(pairs.map(([i, j]) => distance(views[i]!.embedding, views[j]!.embedding) / (batch * dim))),
    mean(statistics.map(([v]) => v)),
    mean(statistics.map(([, c]) => c)),
    mean(
      pairs.map(([i, j]) =>
        contrast(rowsOf(views[i]!.embedding, 0, batch, dim), rowsOf(views[j]!.embedding, 0, batch, dim), temperature),
      ),
    ),
  ].map((value, term) => value * scale![term]!);
  const perPair = pairs.map(([i, j]) => {
    const [a, b] = [views[i]!, views[j]!];
    const features = featureMatches === 'all' ? [a.cells, b.cells] : numMatches;
    const kinds = (['locations', 'maps'] as const).map((kind) => {
      const [there, back] = kind === 'maps' ? features : numMatches;
      const [x, y] = [
        direction(a, b, kind, { batch, gamma: there!, temperature }),
        direction(b, a, kind, { batch, gamma: back!, temperature }),
      ];
      return x.map((value, term) => (value + y[term]!) / 2);
    });
    const wanted = { both: kinds, location: kinds.slice(0, 1), feature: kinds.slice(1) }[matches];
    return TERMS.map((_, term) => wanted.reduce((total, kind) => total + kind[term]!, 0));
  });
  const local = TERMS.map((_, term) => mean(perPair.map((terms) => terms[term]!)) * localScale![term]!);
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b);
  return { global, local, total: alpha * sum(global) + (1 - alpha) * sum(local) };
}
