import type { RandomStream } from '../../../src/tensor/random.js';
import { carrySide, requestBytes } from './carriers.js';
import { bytesOf, type Maker, type MalformedCase, OK, pick, REFUSED } from './malformedCase.js';

/** Channels of the tiny model's local projector, whose space it uses for matching. */
const CHANNELS = 12;

const image = { raw: { width: 8, height: 8, rgb: Buffer.alloc(192, 90) } };
const cellToPixel = { scaleX: 1, scaleY: 1, offsetX: 0, offsetY: 0 };

/** Features of a few cells, as ExtractFeatures would send them. */
function sentFeatures(random: RandomStream) {
  const [rows, columns] = [1 + random.integer(4), 1 + random.integer(4)];
  const count = rows * columns * CHANNELS;
  const [dtype, bytes] = pick(random, [
    ['DATA_TYPE_FLOAT32', Buffer.from(Float32Array.from({ length: count }, () => random.integer(99)).buffer)],
    ['DATA_TYPE_FLOAT16', Buffer.from(Uint16Array.from({ length: count }, () => random.integer(0x7c00)).buffer)],
    ['DATA_TYPE_INT8', bytesOf(random, count)],
  ] as const);
  const scales =
    dtype === 'DATA_TYPE_INT8' ? Buffer.from(new Float32Array(rows * columns).fill(0.5).buffer) : Buffer.alloc(0);
  return {
    features: { dtype, shape: [rows, columns, CHANNELS], data: bytes, scales },
    grid: { rows, columns, stride: 8, cellToPixel },
  };
}

/** Makers of requests that match and store: sent features, references, targets and lifetimes. */
export function sideCases(): readonly Maker[] {
  const side = (kind: string, given: object, allowed: readonly string[], random: RandomStream): MalformedCase => ({
    kind,
    ...carrySide(given, random),
    allowed,
  });
  return [
    (random) => side('sent features', { features: sentFeatures(random) }, OK, random),
    (random) => {
      const { features, grid } = sentFeatures(random);
      const wrong = pick(random, [
        {},
        { features },
        { grid },
        { features, grid: { ...grid, rows: grid.rows + 1 } },
        { features, grid: { ...grid, cellToPixel: { ...cellToPixel, scaleX: Number.NaN } } },
        { features: { ...features, data: features.data.subarray(1) }, grid },
        { features: { ...features, dtype: 'DATA_TYPE_UNSPECIFIED' }, grid },
        { features: { ...features, dtype: 'DATA_TYPE_INT8', scales: bytesOf(random, 3) }, grid },
        { features: { ...features, shape: [grid.rows, grid.columns, 16] }, grid },
        { features: { ...features, shape: features.shape.slice(1) }, grid },
        {
          features: { ...features, shape: [2 ** 32 - 1, 2 ** 32 - 1, CHANNELS] },
          grid: { ...grid, rows: 2 ** 32 - 1, columns: 2 ** 32 - 1 },
        },
        {
          features: {
            dtype: 'DATA_TYPE_FLOAT32',
            shape: [1, 1, CHANNELS],
            data: Buffer.from(new Float32Array(CHANNELS).fill(Number.NaN).buffer),
          },
          grid: { ...grid, rows: 1, columns: 1 },
        },
      ]);
      return side('wrong sent features', { features: wrong }, REFUSED, random);
    },
    (random) => {
      const featureRef = bytesOf(random, 1 + random.integer(500)).toString(
        pick(random, ['hex', 'latin1', 'base64url']),
      );
      return side('unknown references', { featureRef }, ['NOT_FOUND', ...REFUSED], random);
    },
    (random) => side('no side', pick(random, [{}, { store: true }, { image: {} }]), REFUSED, random),
    (random) => {
      const targets = Array.from({ length: pick(random, [0, 65, 200]) }, () => ({ image }));
      const bytes = requestBytes('MatchMany', { query: { image }, targets });
      return { kind: 'a wrong number of targets', method: 'MatchMany', bytes, allowed: REFUSED };
    },
    (random) => {
      const wrong = pick(random, [
        { homography: { threshold: Number.NaN } },
        { homography: { threshold: -1 } },
        { homography: { maxIterations: 2 ** 32 - 1 } },
        { homography: { confidence: 1 } },
        { byFeatures: { ratio: Number.NaN } },
        { byFeatures: { minSimilarity: Infinity } },
        { byFeatures: { distance: 99 } },
        { byLocation: { maxDistance: 1 } },
      ]);
      const bytes = requestBytes('Match', { a: { image }, b: { image }, ...wrong });
      return { kind: 'wrong options of a match', method: 'Match', bytes, allowed: REFUSED };
    },
    (random) => {
      const ttlSeconds = pick(random, [0, 601, 2 ** 32 - 1]);
      const bytes = requestBytes('StoreFeatures', { image, ttlSeconds });
      return { kind: 'wrong times', method: 'StoreFeatures', bytes, allowed: REFUSED };
    },
    (random) => {
      const method = pick(random, ['EmbedBatch', 'ExtractFeaturesBatch']);
      const requests = Array.from({ length: pick(random, [0, 65, 300]) }, () => ({}));
      return {
        kind: 'a wrong number of requests',
        method,
        bytes: requestBytes(method, { requests }),
        allowed: REFUSED,
      };
    },
  ];
}
