/** Bytes of the images that patient calls have in a queue: of those that wait as they are, of those being decoded by a guess. */
export interface PatientBytes {
  /** An image waits. */
  waits(bytes: number): void;
  /** It waits no longer. */
  left(bytes: number): void;
  /** @param places held by patient calls; whether one more image would, as far as is known, leave half of the bytes to others */
  leaveRoom(places: number): boolean;
}

/** Before any image is known: so many of the first ones fit. */
const FIRST_IMAGES = 8;

/** What an image adds to the guess falls by this with each that follows: sizes may take turns in a stream. */
const DECAY = 0.9;

/** @param queueBytes of all images that may wait */
export function createPatientBytes(queueBytes: number): PatientBytes {
  const half = queueBytes / 2;
  let images = 0;
  let bytes = 0;
  let largest: number | undefined;
  return {
    waits(added) {
      images++;
      bytes += added;
      largest = Math.max(added, DECAY * (largest ?? 0));
    },
    left(removed) {
      images--;
      bytes -= removed;
    },
    leaveRoom(places) {
      const beingDecoded = places - images;
      return places === 0 || bytes + (beingDecoded + 1) * (largest ?? half / FIRST_IMAGES) <= half;
    },
  };
}
