/**
 * Whether the long forms of tests run: `npm run test:long`. `npm test` runs the same tests on fewer cases, and leaves out the files
 * of test/long.
 */
export const longTests = process.env['VICREGL_TEST_LONG'] === '1';
