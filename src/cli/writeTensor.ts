import { extname } from 'node:path';
import { float32Of, type ReceivedTensor } from '../client/tensor.js';
import { VicreglError } from '../client/vicreglError.js';
import { checkOutputFile, writeOutputFile } from '../files/output.js';
import { encodeNpy } from '../tensor/npy.js';
import { safetensorsPieces } from '../tensor/safetensors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

const formats = ['.safetensors', '.npy', '.json'];

/**
 * Checks the extension of an output file, and that it can be written, before any work is done.
 * @param dtype of the tensor
 * @throws VicreglError `INVALID_ARGUMENT` listing the known extensions; OutputError.
 */
export async function checkTensorFile(path: string | undefined, dtype: ReceivedTensor['dtype']): Promise<void> {
  if (path !== undefined && dtype === 'int8' && extname(path) === '.npy') {
    const remedy = 'use .safetensors, which stores both, or .json, which stores their products';
    throw new VicreglError('INVALID_ARGUMENT', `--out: an .npy file cannot store the scales of int8; ${remedy}`);
  }
  if (path === undefined) return;
  if (!formats.includes(extname(path))) {
    throw new VicreglError('INVALID_ARGUMENT', `--out: "${path}" must end in one of ${formats.join(', ')}`);
  }
  await checkOutputFile('--out', path);
}

/** The scales of an int8 tensor, as a separate tensor. */
function scalesOf(name: string, value: ReceivedTensor): [string, Tensor][] {
  if (!('scales' in value)) return [];
  return [[`${name}.scales`, tensor('float32', value.shape.slice(0, -1), value.scales)]];
}

/** Writes a tensor in the format of the file's extension; JSON and safetensors also contain the summary. */
export async function writeTensor(path: string, name: string, value: ReceivedTensor, summary: object): Promise<void> {
  switch (extname(path)) {
    case '.npy':
      return writeOutputFile('--out', path, Buffer.from(encodeNpy(value)));
    case '.safetensors':
      return writeOutputFile(
        '--out',
        path,
        safetensorsPieces(new Map([[name, value], ...scalesOf(name, value)]), { summary: JSON.stringify(summary) }),
      );
    default:
      return writeOutputFile('--out', path, `${JSON.stringify({ ...summary, data: [...float32Of(value)] })}\n`);
  }
}
