import childProcess from 'node:child_process';
import dgram from 'node:dgram';
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import workerThreads from 'node:worker_threads';

/**
 * Preloaded into every file of `npm run test:unit` (node --import): a unit test must not start a process or a thread, or open a
 * socket. Such a call throws, and its test file fails even if the code under test catches the error.
 */

function refuse(holder: object, names: readonly string[], what: string): void {
  for (const name of names) {
    // Not an arrow function, because some of these are called with new.
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

// The guard is also preloaded into the runner, which starts a process for each file. Only these processes have this variable.
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
