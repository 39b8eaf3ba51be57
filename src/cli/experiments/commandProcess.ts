import { runProgram } from '../program.js';

/**
 * The process of a command that `vicregl experiments run` starts. It stops as by SIGTERM on request, or if the process that
 * started it ends by whatever cause.
 */

function stop(): void {
  process.kill(process.pid, 'SIGTERM');
}

process.on('message', stop);
process.on('disconnect', stop);
// Ctrl-C on a terminal reaches all its processes: which commands stop is decided by the one that started them.
process.on('SIGINT', () => undefined);
process.channel!.unref();

await runProgram(process.argv.slice(2));
process.off('disconnect', stop).off('message', stop);
if (process.connected) process.disconnect();
