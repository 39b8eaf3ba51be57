import assert from 'node:assert/strict';
import { test } from 'node:test';
import { convolutionForm, convolutionForms, depthwiseGradientForm, multipliesDepthwise } from './convolutionForms.js';

test('a row of the depthwise products applies from its number of images to that of the next, up to its cells', () => {
  const rows = convolutionForms.cpu.depthwiseProduct;
  assert.equal(rows[0]!.images, 1, 'every batch has a row');
  for (const [at, { images, maxCells }] of rows.entries()) {
    const next = rows[at + 1];
    for (const count of [images, next === undefined ? 1000 * images : next.images - 1]) {
      assert.equal(multipliesDepthwise('cpu', count, maxCells), true, `${count} images, ${maxCells} cells`);
      assert.equal(multipliesDepthwise('cpu', count, maxCells + 1), false, `${count} images, ${maxCells + 1} cells`);
    }
  }
});

test('the more images share the matrix of a depthwise product, the larger the maps that are multiplied', () => {
  const cells = convolutionForms.cpu.depthwiseProduct.map(({ maxCells }) => maxCells);
  for (const [at, max] of cells.entries()) assert.ok(at === 0 || max > cells[at - 1]!, `row ${at}`);
});

test('rows are sorted by number of images, which the lookup requires', () => {
  const images = convolutionForms.cpu.depthwiseProduct.map((row) => row.images);
  assert.deepEqual(
    images,
    images.toSorted((a, b) => a - b),
  );
});

test('a form applies up to and including the number of cells in its table', () => {
  const { patchCells, depthwiseRowCells } = convolutionForms.cpu;
  assert.deepEqual(
    [0, 1].map((more) => convolutionForm('cpu', patchCells + more)),
    ['patches', 'conv'],
  );
  assert.deepEqual(
    [0, 1].map((more) => depthwiseGradientForm('cpu', depthwiseRowCells + more)),
    ['rows', 'planes'],
  );
});

test('on CUDA every map is convolved by cuDNN, and weight gradients of depthwise ones are products of rows', () => {
  for (const cells of [1, 16, 56 * 56]) {
    assert.equal(multipliesDepthwise('cuda', 64, cells), false);
    assert.equal(convolutionForm('cuda', cells), 'conv');
    assert.equal(depthwiseGradientForm('cuda', cells), 'rows');
  }
});
