/**
 * A regular expression of the methods whose calls take as long as they have items, or as long as their caller sends some: the time of
 * a whole call says nothing of the service.
 */
export const LONG_CALLS = '.*Stream|.*Batch|.*Chunked|MatchMany';
