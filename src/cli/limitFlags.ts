import type { Command } from 'commander';
import { defaultServeLimits, type ServeLimits } from '../serve/limits.js';
import { wholeNumber } from './wholeNumber.js';

/** The limits of the service that depend on the machine and its clients. */
export interface LimitFlags {
  readonly maxMessageBytes?: number;
  readonly queueImages?: number;
  readonly maxBatch?: number;
}

/** Largest message that grpc-js and protobuf take, in bytes. */
const MAX_MESSAGE = 2 ** 31 - 1;

/** Adds --max-message-bytes, --queue-images and --max-batch. */
export function addLimitFlags(command: Command): Command {
  const { maxMessageBytes, queueImages, batchImages } = defaultServeLimits;
  return command
    .option(
      '--max-message-bytes <bytes>',
      `largest request message (default: ${maxMessageBytes})`,
      wholeNumber(1024, MAX_MESSAGE),
    )
    .option(
      '--queue-images <count>',
      `images that may wait, for decoding and for the engine, each (default: ${queueImages})`,
      wholeNumber(1, 1_000_000),
    )
    .option(
      '--max-batch <images>',
      `images of 224 x 224 in one run of the engine (default: ${batchImages})`,
      wholeNumber(1, 1024),
    );
}

/** The service's limits with those that the flags change. */
export function serveLimits({ maxMessageBytes, queueImages, maxBatch }: LimitFlags): ServeLimits {
  const defaults = defaultServeLimits;
  return {
    ...defaults,
    ...(maxMessageBytes !== undefined && {
      maxMessageBytes,
      // A message that is allowed must also fit beside others.
      requestBytes: Math.max(defaults.requestBytes, 2 * maxMessageBytes),
    }),
    ...(queueImages !== undefined && { queueImages }),
    ...(maxBatch !== undefined && { batchImages: maxBatch, batchPixels: maxBatch * 224 * 224 }),
  };
}
