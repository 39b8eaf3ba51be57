import type { ByteSource } from './byteSource.js';
import type { Checkpoint } from './checkpoint.js';
import { CheckpointFileError } from './checkpointFileError.js';
import { openSafetensors } from './safetensorsCheckpoint.js';
import { isTorchLegacy, openTorchLegacy } from './torchLegacy.js';
import { openTorchZip } from './torchZip.js';

const HEAD_BYTES = 512;

/** Describes a file that is not a checkpoint, from its first bytes; undefined if its format is unknown. */
function describeFile(head: Uint8Array): string | undefined {
  const text = new TextDecoder('latin1').decode(head);
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) return 'a web page: the download failed';
  if (text.startsWith('\x1f\x8b')) return 'a file compressed with gzip: decompress it first';
  if (text.startsWith('\x28\xb5\x2f\xfd')) return 'a file compressed with Zstandard: decompress it first';
  if (text.startsWith('BZh')) return 'a file compressed with bzip2: decompress it first';
  if (text.startsWith('\xfd7zXZ')) return 'a file compressed with xz: decompress it first';
  if (text.slice(257, 262) === 'ustar')
    return 'a tar archive: unpack it first (PyTorch 0.1 saved such files: load it in a later version and save it again)';
  if (text.startsWith('\x89HDF')) return 'an HDF5 file';
  if (text.startsWith('\x93NUMPY')) return 'a NumPy file';
  if (text.startsWith('GGUF')) return 'a GGUF file';
  if (text.slice(4, 8) === 'TFL3') return 'a TensorFlow Lite file';
  if (head[0] === 8 && head[1]! >= 3 && head[1]! <= 15 && head[2] === 0x12)
    return 'an ONNX graph: give the checkpoint from which it was exported';
  if (/^\s*\{.*"weight_map"/s.test(text)) return 'an index of several files: give the file that contains the backbone';
  if (text.startsWith('version https://git-lfs'))
    return 'a Git LFS pointer: download the file itself with git lfs pull';
  return undefined;
}

/**
 * Opens a checkpoint and detects its format from the first bytes: zip archive or older stream of torch.save, or safetensors. Only
 * names and shapes are read; no code in the file is ever run.
 * @throws CheckpointFileError with a description of the problem.
 */
export async function openCheckpoint(source: ByteSource): Promise<Checkpoint> {
  const head = await source.read(0, Math.min(HEAD_BYTES, source.size));
  if (head.byteLength === 0) throw new CheckpointFileError(`${source.name} is empty`);
  if (head[0] === 0x50 && head[1] === 0x4b && head[2] === 3 && head[3] === 4) return openTorchZip(source);
  if (isTorchLegacy(head)) return openTorchLegacy(source);
  const description = describeFile(head);
  if (description !== undefined) throw new CheckpointFileError(`${source.name} is not a checkpoint but ${description}`);
  if (head[8] === 0x7b) return openSafetensors(source);
  throw new CheckpointFileError(
    `${source.name} is not a supported checkpoint: neither a file of torch.save (zip, or older stream) nor safetensors`,
  );
}
