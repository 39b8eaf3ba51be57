import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkedHomography, readHomography } from './homographyFile.js';

const expected = [1, 0.2, 3, 4, 5, 6, 7, 8, 1];

describe('files of homographies', () => {
  for (const [form, text] of [
    [
      "OpenCV's XML",
      '<?xml version="1.0"?>\n<opencv_storage><H13 type_id="opencv-matrix"><rows>3</rows><cols>3</cols><dt>d</dt><data>\n1. 2e-1 3\n 4 5 6 7 8 1.0</data></H13></opencv_storage>',
    ],
    [
      "OpenCV's YAML",
      '%YAML:1.0\n---\nH: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n   data: [ 1., 2.0e-01, 3., 4., 5., 6.,\n       7., 8., 1. ]\n',
    ],
    ["OpenCV's JSON", '{"H":{"type_id":"opencv-matrix","rows":3,"cols":3,"dt":"d","data":[1.0,0.2,3,4,5,6,7,8,1]}}'],
    ['a JSON array of numbers', '[1, 0.2, 3, 4, 5, 6, 7, 8, 1]'],
    ['a JSON array of rows', '[[1, 0.2, 3], [4, 5, 6], [7, 8, 1]]'],
    ['numbers in rows', '1 .2 3\n4 5 6\n7 8 1\n'],
  ] as const) {
    it(`are read from ${form}`, () => {
      assert.deepEqual(readHomography(text, 'H'), expected);
    });
  }

  it('are rejected with the reason', () => {
    for (const [text, message] of [
      ['1 2 3', /^H: a homography is 3 rows of 3 numbers, and this has 3 numbers$/],
      ['', /this has 0 numbers/],
      ['[[1, 0], [0, 1]]', /this has rows of 2, 2 values$/],
      ['[[1, 2, 3, 4, 5], [6, 7, 8, 9]]', /this has rows of 5, 4 values$/],
      ['1 0 0 0 1 nan 0 0 1', /^H: the value in row 2, column 3 of the homography is not a finite number$/],
      ['[1, 0, 0, 0, 1, 0, 0, 1e999, 1]', /row 3, column 2 of the homography is not a finite number/],
      ['[1, 0, null, 0, 1, 0, 0, 0, 1]', /row 1, column 3/],
      ['1 2 3 2 4 6 0 0 1', /^H: the homography has no inverse; it must have rank 3$/],
      ['0 0 0 0 0 0 0 0 0', /no inverse/],
      ['[1, 2', /^H is not valid JSON: /],
      ['{"a": 1, "b": 2}', /^H has no matrix; write 9 numbers, or 3 rows of 3 numbers, as a JSON array$/],
    ] as const) {
      assert.throws(() => readHomography(text, 'H'), { name: 'DataError', code: 'malformed', message });
    }
  });

  it('accept homographies of large pictures, whose determinant is small beside their translations', () => {
    const values = [1.7594, -0.6507, -1889.01, 1.0405, 1.5056, -902.07, 9.8278e-4, -3.2447e-4, 1];
    assert.deepEqual(checkedHomography(values, 'H'), values);
  });
});
