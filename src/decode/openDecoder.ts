import { defaultImageLimits } from '../image/decode.js';
import { startDecodeProcesses } from './decodeProcesses.js';
import type { Decoder } from './decoder.js';
import { createLocalDecoder } from './localDecoder.js';

/**
 * Opens the decoder of a configuration: with the given number of processes, or in this process if that is 0.
 * @param log receives the output of the processes, and messages about their deaths
 * @throws DecoderError `unavailable` if the processes cannot be started.
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
