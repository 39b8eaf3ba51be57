import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { it } from 'node:test';
import { long } from '../support/longTests.js';
import { PYTHON } from '../support/python.js';

// Found, not imported: PyTorch takes seconds.
const finds =
  "import importlib.util, sys; sys.exit(None in map(importlib.util.find_spec, ('torch', 'sklearn', 'numpy')))";
const installed = spawnSync(PYTHON, ['-c', finds]).status === 0;
const skip =
  !installed && 'python3-torch or python3-sklearn is not installed (apt-get install python3-torch python3-sklearn)';

it("heads, accuracies, neighbours and average precision agree with PyTorch's and scikit-learn's", { skip }, () => {
  const script = 'dist/scripts/proofs/classification.js';
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--json'], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const rows = JSON.parse(stdout) as { difference: number; limit: number }[];
  assert.equal(rows.length, 9);
  for (const { difference, limit } of rows) assert.ok(difference <= limit);
});

it("the loss of rows gathered from several ranks agrees with that of PyTorch's processes", { skip, ...long }, () => {
  const script = 'dist/scripts/proofs/gatheredLoss.js';
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--json'], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const rows = JSON.parse(stdout) as { ranks: number; loss: number; gradients: number }[];
  assert.deepEqual([...new Set(rows.map(({ ranks }) => ranks))], [1, 2, 4, 3]);
  for (const { loss, gradients } of rows) assert.ok(loss <= 1e-5 && gradients <= 1e-4);
});
