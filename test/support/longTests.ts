/**
 * Whether the long forms of tests run: `npm run test:long`, which runs all files that import this one. `npm test` runs the same tests on
 * fewer cases, and skips those marked `long`.
 */
export const longTests = process.env['TEST_LONG'] === '1';

/** Options of a test or suite that takes too long for `npm test`. */
export const long = longTests ? {} : { skip: 'one of the long tests: npm run test:long' };
