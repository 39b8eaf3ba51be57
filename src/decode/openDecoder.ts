import { defaultImageLimits } from '../image/decode.js';
import { startDecodeProcesses } from './decodeProcesses.js';
import type { Decoder } from './decoder.js';
import { createLocalDecoder } from './localDecoder.js';

/**
 * The decoder that a configuration asks for: so many processes, or with none this process.
 * @param log told what processes print, and of their deaths
 * @throws DecoderError `unavailable` where they cannot be started.
 */
export async function openDecoder(
  limits: { readonly decodeProcesses: number; readonly image: { readonly decodeSeconds?: number } },
  log: (message: string) => void,
): Promise<Decoder> {
  const { decodeProcesses: processes, image } = limits;
  return processes === 0
    ? createLocalDecoder()
    : startDecodeProcesses({ processes, seconds: image.decodeSeconds ?? defaultImageLimits.decodeSeconds, log });
}
