import { NO_FAULTS } from '../../src/serve/operations/metrics.js';

/** A regular expression of the statuses that are the service's own faults; the same as in deploy/alerts.yml. */
export const FAULTS = 'INTERNAL|UNKNOWN|UNAVAILABLE|DATA_LOSS';

/** A regular expression of the reasons with such a status that are none; the same as in deploy/alerts.yml. */
export const EXCUSED = NO_FAULTS.join('|');
