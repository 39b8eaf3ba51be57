import { readSafetensors } from '../../src/tensor/safetensors.js';
import type { Tensor } from '../../src/tensor/tensor.js';

/** A reference file made with the authors' PyTorch code, with settings as JSON strings and tensors by name. */
export interface GoldenFile {
  /** A setting parsed as JSON. */
  setting<T>(name: string): T;
  /** A setting as the recorded string. */
  text(name: string): string;
  tensor(name: string): Tensor;
  numbers(name: string): number[];
  scalar(name: string): number;
  names: readonly string[];
}

export async function openGolden(name: string): Promise<GoldenFile> {
  // Compiled tests run from dist/, but the files are in the source tree.
  const { metadata, tensors } = await readSafetensors(`test/golden/${name}.safetensors`);
  const need = (key: string): Tensor => {
    const value = tensors.get(key);
    if (value === undefined) throw new Error(`golden file ${name} lacks "${key}"`);
    return value;
  };
  return {
    setting: <T>(key: string) => JSON.parse(metadata[key] ?? 'null') as T,
    text: (key) => metadata[key] ?? '',
    tensor: need,
    numbers: (key) => Array.from(need(key).data as ArrayLike<number | bigint>, Number),
    scalar: (key) => Number(need(key).data[0]),
    names: [...tensors.keys()],
  };
}
