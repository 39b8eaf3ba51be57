import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkDistinct, checkNames, exhaustivePairs, readPairs, retrievalPairs } from './pairs.js';

const names = ['a.jpg', 'b.jpg', 'sub/c d.jpg'];

describe('a list of pairs', () => {
  test('has two names a line; a tab separates names with spaces; comments, empty lines and repetitions are skipped', () => {
    const text = '\uFEFFa.jpg b.jpg\r\n# comment\n\n./b.jpg   a.jpg\nsub/c d.jpg\ta.jpg\n';
    assert.deepEqual(readPairs(text, 'pairs.txt', names), [
      { a: 0, b: 1 },
      { a: 2, b: 0 },
    ]);
  });

  test('a line that begins with # is a pair if it names two images', () => {
    const odd = ['#1.jpg', '# a.jpg', 'b.jpg'];
    const text = '#1.jpg b.jpg\n# a.jpg\tb.jpg\n#1.jpg has no partner\n#2.jpg b.jpg\n';
    assert.deepEqual(readPairs(text, 'pairs.txt', odd), [
      { a: 0, b: 2 },
      { a: 1, b: 2 },
    ]);
  });

  test('errors name the file, the line and the value', () => {
    const refused = (text: string, message: RegExp) =>
      assert.throws(() => readPairs(text, 'pairs.txt', names), { code: 'bad_pairs', message });
    refused('a.jpg b.jpg\na.jpg\n', /^pairs.txt, line 2: "a.jpg" is not a pair/);
    refused('a.jpg b.jpg 0.5', /^pairs.txt, line 1: "a.jpg b.jpg 0.5" is not a pair/);
    refused('\n\na.jpg B.jpg', /^pairs.txt, line 3: there is no image "B.jpg"; .* such as a.jpg, b.jpg/);
    refused('a.jpg ../b.jpg', /there is no image "..\/b.jpg"/);
    refused('a.jpg a.jpg', /line 1: "a.jpg" is paired with itself/);
    refused('\t\t', /pairs.txt: has no pairs/);
    refused('a.jpg\t', /is not a pair/);
    refused('# nothing\n', /pairs.txt: has no pairs/);
  });
});

test('names that are no relative paths are rejected', () => {
  checkNames(['a.jpg', 'sub/..a/b.jpg', '...']);
  for (const name of ['/data/a.jpg', '../a.jpg', 'sub/../a.jpg', './a.jpg', 'sub//a.jpg', '']) {
    assert.throws(
      () => checkNames(['a.jpg', name]),
      { code: 'bad_images', message: /is not named by a path relative/ },
      name,
    );
  }
});

test('names that one file cannot hold are rejected: listed twice, or the folder of another', () => {
  checkDistinct(['a.jpg', 'b.jpg']);
  checkNames(['x/a.jpg', 'x/a.jpg2/b.jpg', 'x/a.jp']);
  assert.throws(() => checkDistinct(['a.jpg', 'b.jpg', 'a.jpg']), {
    code: 'bad_images',
    message: /"a.jpg" is listed twice/,
  });
  const message = /images "x\/a.jpg" and "x\/a.jpg\/b.jpg": .* rename one/;
  assert.throws(() => checkNames(['x/a.jpg/b.jpg', 'x/a.jpg']), { code: 'bad_images', message });
});

test('all pairs of some images', () => {
  assert.deepEqual(exhaustivePairs([0, 2, 5]), [
    { a: 0, b: 2 },
    { a: 0, b: 5 },
    { a: 2, b: 5 },
  ]);
  assert.deepEqual(exhaustivePairs([3]), []);
});

test('the nearest by cosine similarity, each pair once', () => {
  const vectors = [
    [1, 0],
    [10, 1],
    [0, 2],
    [-1, 3],
  ];
  const embeddings = new Map(vectors.map((vector, i) => [i * 2, Float32Array.from(vector)] as const));
  assert.deepEqual(retrievalPairs(embeddings, 1), [
    { a: 0, b: 2 },
    { a: 4, b: 6 },
  ]);
  assert.equal(retrievalPairs(embeddings, 99).length, 6);
  assert.deepEqual(retrievalPairs(new Map([[0, Float32Array.of(1)]]), 3), []);
});
