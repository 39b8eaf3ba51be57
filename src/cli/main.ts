import { keepHangUps } from './hangUps.js';
import { guardStandardStreams } from './standardStreams.js';

if (process.argv[2] === 'serve') keepHangUps();
guardStandardStreams();
// Loading it takes a part of a second, or of a minute on a busy machine, in which SIGHUP must not end a service.
const { runProgram } = await import('./program.js');
await runProgram(process.argv.slice(2));
