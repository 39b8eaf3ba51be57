import type { EmbedStreamResponse } from '../../../proto/generated/vicregl/v1/EmbedStreamResponse.js';
import type { PhaseTimes } from '../../../proto/generated/vicregl/v1/PhaseTimes.js';
import { statusMessage } from '../../../proto/statusDetails.js';
import type { Status } from '../../call/errors.js';
import type { Phase } from '../../call/phases.js';

/** The status of one item of a batch or a stream, as messages carry it. */
export function itemStatus(status: Status): NonNullable<EmbedStreamResponse['status']> {
  return statusMessage(status);
}

/** The phases of one item in ms, as messages carry them. */
export function phaseTimes(seconds: ReadonlyMap<Phase, number>): PhaseTimes {
  const ms = (phase: Phase): number => (seconds.get(phase) ?? 0) * 1000;
  return {
    receiveMs: ms('receive'),
    waitMs: ms('wait'),
    decodeMs: ms('decode'),
    queueMs: ms('queue'),
    inferenceMs: ms('inference'),
    matchMs: ms('match'),
    encodeMs: ms('encode'),
  };
}
