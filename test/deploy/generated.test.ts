import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { EXCUSED, FAULTS } from '../../scripts/deploy/faults.js';
import { generatedFiles } from '../../scripts/deploy/generatedFiles.js';
import { LONG_CALLS } from '../../scripts/deploy/longCalls.js';
import { loadInferenceService, loadVicreglService } from '../../src/proto/load.js';
import { statusName } from '../../src/proto/status.js';
import { statusReasons } from '../../src/serve/call/errors.js';

for (const [path, text] of await generatedFiles()) {
  test(`${path} is what scripts/deploy/writeDeploy.ts writes`, async () => {
    assert.equal(await readFile(path, 'utf8'), text);
  });
}

test('deploy/alerts.yml has the faults of the objectives, and subtracts the same reasons', async () => {
  const text = await readFile('deploy/alerts.yml', 'utf8');
  for (const kind of ['requests', 'items']) {
    assert.ok(text.includes(`vicregl_${kind}_total{code=~"${FAULTS}"}`));
    assert.ok(text.includes(`vicregl_${kind}_rejected_total{reason=~"${EXCUSED}"}`));
  }
  const codes = new Map(statusReasons().map(({ code, reason }) => [reason, statusName(code)]));
  for (const reason of EXCUSED.split('|')) assert.ok(FAULTS.split('|').includes(codes.get(reason)!), reason);
});

test('the objective of latency leaves out the methods with several items, and no others', () => {
  const long = new RegExp(`^(?:${LONG_CALLS})$`);
  const methods = [loadVicreglService(), loadInferenceService()].flatMap(({ service }) => Object.values(service));
  const nameOf = ({ path }: { readonly path: string }) => path.slice(path.lastIndexOf('/') + 1);
  const streams = methods.filter(({ requestStream, responseStream }) => requestStream || responseStream).map(nameOf);
  assert.deepEqual(
    methods
      .map(nameOf)
      .filter((name) => long.test(name))
      .sort(),
    [...streams, 'EmbedBatch', 'ExtractFeaturesBatch', 'MatchMany'].sort(),
  );
});
