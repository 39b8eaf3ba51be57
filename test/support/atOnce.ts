/** Drives steps to their end, for layers that do not know src/match. */
export { atOnce } from '../../src/match/turns.js';
