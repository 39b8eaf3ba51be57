import type { ByteSource } from './byteSource.js';
import type { Checkpoint } from './checkpoint.js';
import { CheckpointFileError } from './checkpointFileError.js';
import { openSafetensors } from './safetensorsCheckpoint.js';
import { isTorchLegacy, openTorchLegacy } from './torchLegacy.js';
import { openTorchZip } from './torchZip.js';

const HEAD_BYTES = 512;

/** What a file that is no checkpoint seems to be, from its first bytes. */
function strangerOf(head: Uint8Array): string | undefined {
  const text = new TextDecoder('latin1').decode(head);
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) return 'a web page: the download went wrong';
  if (text.startsWith('\x1f\x8b')) return 'compressed with gzip: unpack it first';
  if (text.startsWith('\x28\xb5\x2f\xfd')) return 'compressed with Zstandard: unpack it first';
  if (text.startsWith('BZh')) return 'compressed with bzip2: unpack it first';
  if (text.startsWith('\xfd7zXZ')) return 'compressed with xz: unpack it first';
  if (text.slice(257, 262) === 'ustar')
    return 'a tar archive: unpack it first (PyTorch 0.1 saved such files; load and save it in a later one)';
  if (text.startsWith('\x89HDF')) return 'an HDF5 file';
  if (text.startsWith('\x93NUMPY')) return 'a NumPy file';
  if (text.startsWith('GGUF')) return 'a GGUF file';
  if (text.slice(4, 8) === 'TFL3') return 'a TensorFlow Lite file';
  if (head[0] === 8 && head[1]! >= 3 && head[1]! <= 15 && head[2] === 0x12)
    return 'an ONNX graph: give the checkpoint that it was exported from';
  if (/^\s*\{.*"weight_map"/s.test(text)) return 'an index of several files: give one file that holds the backbone';
  if (text.startsWith('version https://git-lfs')) return 'a Git LFS pointer: fetch the file itself with git lfs pull';
  return undefined;
}

/**
 * Opens a checkpoint of any known format by its first bytes: torch.save's zip archives and older streams, safetensors.
 * Only names and shapes are read; nothing that the file holds is ever run.
 * @throws CheckpointFileError saying what is wrong with the file.
 */
export async function openCheckpoint(source: ByteSource): Promise<Checkpoint> {
  const head = await source.read(0, Math.min(HEAD_BYTES, source.size));
  if (head.byteLength === 0) throw new CheckpointFileError(`${source.name} is empty`);
  if (head[0] === 0x50 && head[1] === 0x4b && head[2] === 3 && head[3] === 4) return openTorchZip(source);
  if (isTorchLegacy(head)) return openTorchLegacy(source);
  const stranger = strangerOf(head);
  if (stranger !== undefined) throw new CheckpointFileError(`${source.name} is no checkpoint but ${stranger}`);
  if (head[8] === 0x7b) return openSafetensors(source);
  throw new CheckpointFileError(
    `${source.name} is no checkpoint that can be read: neither a file of torch.save (zip, or older stream) nor safetensors`,
  );
}
