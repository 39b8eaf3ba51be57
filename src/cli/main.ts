import { runProgram } from './program.js';
import { guardStandardStreams } from './standardStreams.js';

guardStandardStreams();
await runProgram(process.argv.slice(2));
