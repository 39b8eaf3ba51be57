/** A regular expression of the statuses that are the service's own faults; the same as in deploy/alerts.yml. */
export const FAULTS = 'INTERNAL|UNKNOWN|UNAVAILABLE|DATA_LOSS';
