import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { validate } from 'dockerfile-utils';
import { readStages } from '../../scripts/container/stages.js';
import { CUDA, CUDA_LIBRARIES } from '../../src/onnx/cuda/libraries.js';
import { configKeys } from '../../src/serve/config/keys.js';

describe('the Dockerfile', () => {
  test('passes the linter', async () => {
    const faults = validate(await readFile('Dockerfile', 'utf8'));
    assert.deepEqual(
      faults.map(({ message, range }) => `${range.start.line + 1}: ${message}`),
      [],
    );
    assert.notDeepEqual(validate('FROM node:20\nEXPOSE x\n'), []);
  });

  test('its images are pinned, run as an unprivileged user under an init process, and have a gRPC health check', async () => {
    const stages = await readStages('Dockerfile');
    for (const { image } of stages) {
      const built = stages.some(({ name }) => name === image);
      assert.ok(built || /:.*\d/.test(image), image);
    }
    for (const name of ['cpu', 'cuda']) {
      const { steps } = stages.find((stage) => stage.name === name)!;
      const of = (keyword: string) => steps.findLast((step) => step.keyword === keyword)!;
      assert.ok(!['root', '0'].includes(of('USER').text), name);
      assert.match(of('ENTRYPOINT').text, /^\["tini", "--", "bin\/vicregl\.js"\]/);
      assert.match(of('HEALTHCHECK').text, /"vicregl\.js".*|"bin\/vicregl\.js", "health"/);
      assert.ok(steps.some(({ keyword, text }) => keyword === 'RUN' && /libjemalloc2.* tini/s.test(text)));
      assert.ok(of('ENV').words.includes('ORT_DISABLE_TELEMETRY=1'), name);
      const variables = [...of('ENV').text.matchAll(/VICREGL_[A-Z_]+/g)].map(([variable]) => variable);
      const known = configKeys().map(({ env }) => env);
      assert.ok(variables.length >= 3 && variables.every((variable) => known.includes(variable)), String(variables));
    }
    assert.equal(stages.at(-1)!.name, 'cpu');
  });

  test('its CUDA image installs the libraries that the provider needs, in the release that the provider was built for', async () => {
    const { image, steps } = (await readStages('Dockerfile')).find(({ name }) => name === 'cuda')!;
    assert.ok(image.startsWith(`nvidia/cuda:${CUDA.version}.`), image);
    const installed = steps
      .find(({ text }) => text.includes('apt-get'))!
      .words.filter((word) => /cud|^libcu/.test(word));
    const needed = new Set(CUDA_LIBRARIES.flatMap((library) => library.package ?? []));
    assert.deepEqual(installed.sort(), [...needed].sort());
  });

  test('the build of its CUDA image fails if a library that the provider needs is missing', async () => {
    const stages = await readStages('Dockerfile');
    const install = stages.find(({ name }) => name === 'build-cuda')!.steps.find(({ keyword }) => keyword === 'RUN')!;
    assert.match(install.text, /^node bin\/vicregl\.js cuda install\s+&&/);
    const { steps } = stages.find(({ name }) => name === 'cuda')!;
    const [copied, checked, user] = [
      steps.findIndex(({ text }) => text.startsWith('--from=build-cuda')),
      steps.findIndex(({ text }) => text === 'node bin/vicregl.js cuda check --without-driver'),
      steps.findIndex(({ keyword }) => keyword === 'USER'),
    ] as const;
    assert.ok(copied >= 0 && copied < checked && checked < user, String([copied, checked, user]));
  });
});
