import type { Call } from '../call/call.js';

/** A call whose parts of `encode` are told of as one. */
export interface OneEncode {
  readonly call: Call;
  /** Tells of them. To be called when the message's answer has been made, or has failed. */
  done(): void;
}

/**
 * One message makes its answer in parts (regions, tensors of each image, bytes): told of one by one, their quantiles
 * would be those of a mixture.
 */
export function oneEncode(call: Call): OneEncode {
  let sum: number | undefined;
  return {
    call: {
      ...call,
      observe(phase, seconds) {
        if (phase === 'encode') sum = (sum ?? 0) + seconds;
        else call.observe(phase, seconds);
      },
    },
    done() {
      if (sum !== undefined) call.observe('encode', sum);
    },
  };
}
