/**
 * Imports the checkpoints of torchNetworks.py and compares the outputs of the exported graphs with those of PyTorch:
 *
 *     node dist/scripts/compare/importedNetworks.js OUT
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openModelFolder } from '../../src/models/folder.js';
import { importCheckpoint } from '../../src/models/importCheckpoint.js';
import { createSession, runSession } from '../../src/onnx/session.js';
import { tensor } from '../../src/tensor/tensor.js';

interface Case {
  readonly name: string;
  readonly network: string;
  readonly height: number;
  readonly width: number;
  readonly outputs: readonly string[];
}

const [out] = process.argv.slice(2);
if (out === undefined) throw new Error('usage: importedNetworks.js OUT, the folder that torchNetworks.py wrote');

/** Norm of the difference divided by the norm of the expected values. */
function relativeError(found: Float32Array, expected: Float32Array): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  let [difference, norm] = [0, 0];
  expected.forEach((value, i) => {
    difference += (found[i]! - value) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(difference / norm);
}

const floats = async (file: string) => new Float32Array(Uint8Array.from(await readFile(join(out, file))).buffer);
const cases = JSON.parse(await readFile(join(out, 'cases.json'), 'utf8')) as Case[];
const forms = {
  float32: { precision: 'float32' },
  'float16 weights': { precision: 'float16' },
  'float16 arithmetic': { precision: 'float16', compute: 'float16' },
} as const;
for (const [form, variant] of Object.entries(forms)) {
  for (const network of new Set(cases.map((one) => one.network))) {
    const dir = join(out, `${network}-${form.replace(' ', '-')}`);
    const start = performance.now();
    const options = {
      name: network,
      alpha: 0.75,
      license: 'random weights',
      writeExpander: true,
      force: true,
      ...variant,
    };
    await importCheckpoint(join(out, `${network}_alpha0.75.pth`), dir, options);
    console.log(`${network} ${form}: imported in ${((performance.now() - start) / 1000).toFixed(1)} s`);
    const { graphPath } = await openModelFolder(dir);
    const session = await createSession(graphPath('backbone')!);
    const classifier = graphPath('classifier') && (await createSession(graphPath('classifier')!));
    for (const { name, height, width, outputs } of cases.filter((one) => one.network === network)) {
      const pixels = Uint8Array.from(await readFile(join(out, `${name}.pixels`)));
      const found = await runSession(session, { images: tensor('uint8', [1, height, width, 3], pixels) });
      const representation = found.get('representation')!;
      if (classifier) found.set('logits', (await runSession(classifier, { representation })).get('logits')!);
      for (const output of outputs) {
        const error = relativeError(found.get(output)!.data as Float32Array, await floats(`${name}.${output}`));
        console.log(`  ${name} ${output}: ${error.toExponential(1)}`);
      }
    }
    await session.release();
    if (classifier) await classifier.release();
  }
}
