import childProcess from 'node:child_process';
import dgram from 'node:dgram';
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import workerThreads from 'node:worker_threads';

/**
 * Preloaded into every file of `npm run test:unit` (node --import): a unit test starts no process and no thread, and opens no
 * socket. A call that would do so throws, and its file fails even where the code under test swallows the error.
 */

function refuse(holder: object, names: readonly string[], what: string): void {
  for (const name of names) {
    // A function, not an arrow: some of these are called with new.
    const refused = function refused(): never {
      const error = new Error(
        `a unit test may not ${what} (${name}): rename the file to *.integration.test.ts, which only npm test runs`,
      );
      process.once('exit', () => {
        process.exitCode = 1;
        console.error(error.stack);
      });
      throw error;
    };
    (holder as Record<string, unknown>)[name] = refused;
  }
}

// The runner, which starts a process for each file, is preloaded too; only its files have this variable.
if (process.env['NODE_TEST_CONTEXT'] !== undefined) {
  refuse(childProcess.ChildProcess.prototype, ['spawn'], 'start a process');
  refuse(childProcess, ['spawnSync', 'execSync', 'execFileSync'], 'start a process');
  refuse(workerThreads, ['Worker'], 'start a thread');
  refuse(net.Socket.prototype, ['connect'], 'open a connection');
  refuse(net.Server.prototype, ['listen'], 'listen on a socket');
  refuse(dgram.Socket.prototype, ['bind', 'connect', 'send'], 'use a UDP socket');
  for (const holder of [dns, dns.promises]) {
    const queries = Object.keys(holder).filter((name) => /^(lookup|resolve|reverse)/.test(name));
    refuse(holder, queries, 'look up a name');
  }
  syncBuiltinESMExports();
}
