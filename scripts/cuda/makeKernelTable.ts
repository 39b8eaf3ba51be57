/**
 * Makes cudaKernels.tsv and operatorVersions.tsv from the lists of ONNX Runtime and ONNX. test/cuda/kernels.test.ts reads
 * from them what CUDA can run.
 *
 *   node dist/scripts/cuda/makeKernelTable.js --kernels OperatorKernels.md --kernels-from "commit, date" \
 *     --operators Operators.md --operators-from "commit, date"
 *
 * Both documents are in docs/ of their repositories (microsoft/onnxruntime, onnx/onnx). Take the versions that belong to the
 * pinned onnxruntime-node, or the nearest ones.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeChunksAtomically } from '../../src/tensor/atomicFile.js';
import { parseOperatorKernels, parseOperatorVersions, writeKernels, writeVersions } from './kernelTable.js';

const { values } = parseArgs({
  options: {
    kernels: { type: 'string' },
    'kernels-from': { type: 'string' },
    operators: { type: 'string' },
    'operators-from': { type: 'string' },
  },
});
function required(name: keyof typeof values): string {
  const value = values[name];
  if (value === undefined) throw new Error(`--${name} is missing`);
  return value;
}

const write = (name: string, text: string) =>
  writeChunksAtomically(fileURLToPath(new URL(`../../../scripts/cuda/${name}`, import.meta.url)), [Buffer.from(text)]);
const kernels = parseOperatorKernels(await readFile(required('kernels'), 'utf8'), 'CUDAExecutionProvider');
await write(
  'cudaKernels.tsv',
  writeKernels(kernels, [
    "Kernels of ONNX Runtime's CUDA provider. Made by scripts/cuda/makeKernelTable.ts from docs/OperatorKernels.md of",
    `https://github.com/microsoft/onnxruntime, ${required('kernels-from')}.`,
    'An open range (no "until") is for its first version alone; see kernelTable.ts.',
  ]),
);
const versions = parseOperatorVersions(await readFile(required('operators'), 'utf8'));
await write(
  'operatorVersions.tsv',
  writeVersions(versions, [
    'Operator sets in which an operator of ONNX changed. Made by scripts/cuda/makeKernelTable.ts from docs/Operators.md of',
    `https://github.com/onnx/onnx, ${required('operators-from')}.`,
  ]),
);
console.log(`${kernels.length} kernels, ${versions.size} operators`);
